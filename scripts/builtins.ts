/**
 * Modules of Node, in bundles. An `import` of one reads all that it exports, and much of that is a getter that loads more: of
 * node:crypto a Web Crypto that nothing calls, of node:http the whole of `fetch`. What the built-ins are asked for by name costs no more
 * than that: a sidecar is megabytes smaller.
 */
import type { Plugin } from 'esbuild';

export const builtinsByName: Plugin = {
  name: 'builtins-by-name',
  setup(build) {
    build.onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'builtin' } : undefined,
    );
    build.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};
