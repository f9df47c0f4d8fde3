/** How every program is bundled, for dist/ and for the tests of what bundling does. */
import { resolve } from 'node:path';
import type { BuildOptions } from 'esbuild';

export const root = resolve(import.meta.dirname, '..');

export const bundleOptions = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node22',
  format: 'esm',
  external: ['koffi'],
} as const satisfies BuildOptions;
