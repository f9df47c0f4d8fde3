import assert from 'node:assert/strict';
import { test } from 'node:test';
import { build } from 'esbuild';
import { builtinsByName } from './builtins.ts';
import { bundleOptions } from './bundle-options.ts';
import { programs } from './programs.ts';
import { runBundled } from './testing/run-bundled.ts';

const program = `
  import { createHash } from 'node:crypto';
  import path, { join } from 'node:path';
  import * as net from 'node:net';
  const digest = createHash('sha256').update('x').digest('hex');
  console.log(JSON.stringify({
    digest,
    same: join === path.join,
    address: net.isIPv4('10.0.0.1'),
    loaded: process.moduleLoadList.filter((name) => name.endsWith('internal/crypto/webcrypto')),
  }));
`;

const answers = {
  digest: '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881',
  same: true,
  address: true,
};

test('a bundle gets what it names of a built-in, and the rest stays unread', async () => {
  assert.deepEqual(await runBundled(program, [builtinsByName]), { ...answers, loaded: [] });
});

test('an import would read it', async () => {
  const loaded = ['NativeModule internal/crypto/webcrypto'];
  assert.deepEqual(await runBundled(program, []), { ...answers, loaded });
});

// Each of these, and what it loads, is memory of every sidecar: docs/where-the-memory-goes.md.
const ofProxies = ['async_hooks', 'crypto', 'events', 'fs', 'module', 'net', 'path', 'perf_hooks', 'tls'];
const expected = { proxy: ofProxies, gateway: ['cluster', 'os', ...ofProxies] };

for (const [program, modules] of Object.entries(expected)) {
  test(`what ${program} asks for of Node grows only on purpose`, async () => {
    const { metafile } = await build({
      ...bundleOptions,
      entryPoints: [programs[program] ?? ''],
      write: false,
      metafile: true,
      plugins: [builtinsByName],
    });
    const [output] = Object.values(metafile.outputs);
    const used = Object.keys(output?.inputs ?? {}).filter((path) => path.startsWith('builtin:node:'));
    assert.deepEqual(used.map((path) => path.slice('builtin:node:'.length)).toSorted(), modules.toSorted());
  });
}
