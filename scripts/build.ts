/**
 * Bundles every program into dist/. Seconds from scratch; esbuild does not type-check, `npm run lint` does.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { builtinsByName } from './builtins.ts';
import { bundleOptions, root } from './bundle-options.ts';
import { plainDescriptors } from './descriptors.ts';
import { programs } from './programs.ts';

const out = join(root, 'dist');
const entries = Object.entries(programs).filter(([, entry]) => existsSync(join(root, entry)));

await build({
  ...bundleOptions,
  entryPoints: entries.map(([name, entry]) => ({ in: entry, out: name })),
  outdir: out,
  splitting: false,
  sourcemap: 'linked',
  // Node keeps a program's text in memory, with two bytes for each character if one of them is not ASCII.
  minifyWhitespace: true,
  charset: 'ascii',
  // The line that threw is part of a crash report.
  lineLimit: 160,
  plugins: [builtinsByName, plainDescriptors],
  // Bundled CommonJS dependencies still call require for Node's own modules.
  banner: {
    js: "const require=process.getBuiltinModule('node:module').createRequire(import.meta.url);",
  },
  logLevel: 'warning',
});

// Without it Node takes a bundle for CommonJS, parses it, fails, and begins again.
writeFileSync(join(out, 'package.json'), `${JSON.stringify({ type: 'module' })}\n`);

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
