/**
 * Bundles every program into dist/. Seconds from scratch; esbuild does not type-check, `npm run lint` does.
 */
import { cpSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { programs } from './programs.ts';

const root = resolve(import.meta.dirname, '..');
const out = join(root, 'dist');
const entries = Object.entries(programs).filter(([, entry]) => existsSync(join(root, entry)));

await build({
  absWorkingDir: root,
  entryPoints: entries.map(([name, entry]) => ({ in: entry, out: name })),
  outdir: out,
  bundle: true,
  platform: 'node',
  target: 'node22',
  format: 'esm',
  splitting: false,
  sourcemap: 'linked',
  external: ['koffi'],
  // Bundled CommonJS dependencies still call require for Node's own modules.
  banner: {
    js: "import{createRequire as __meshRequire}from'node:module';const require=__meshRequire(import.meta.url);",
  },
  logLevel: 'warning',
});

// koffi finds its binary beside its own package, so it is shipped as it is installed.
for (const name of [
  'koffi',
  ...readdirSync(join(root, 'node_modules/@koromix')).map((name) => `@koromix/${name}`),
]) {
  const target = join(out, 'node_modules', name);
  mkdirSync(target, { recursive: true });
  cpSync(join(root, 'node_modules', name), target, {
    recursive: true,
    filter: (source) => !/\/koffi\/(doc|vendor)$/.test(source),
  });
}
