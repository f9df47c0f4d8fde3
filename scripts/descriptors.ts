/**
 * Descriptors of protobuf, in bundles. Generated code holds them as base64 of FileDescriptorProto, which protobuf-es decodes at each
 * start, with the help of the descriptor of that very format, which it has to build first. A bundle gets them as plain data
 * instead: what protobuf-es makes of them, read as the bundle is made.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Plugin } from 'esbuild';
import { isFile, plainFileText } from '../packages/control-api/src/descriptor-text.ts';

const runtime = join(import.meta.dirname, '../packages/control-api/src/plain-descriptors.ts');
const call = /\bfileDesc\(\s*"[^"]*"/;

export const plainDescriptors: Plugin = {
  name: 'plain-descriptors',
  setup(build) {
    build.onLoad({ filter: /_pb\.[jt]s$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      const file = call.test(text) ? Object.values((await import(path)) as object).find(isFile) : undefined;
      const plain = file === undefined ? undefined : plainFileText(file);
      // What cannot be said plainly comes with protobuf-es, which decodes it; no program of ours uses any of it.
      if (plain === undefined) return undefined;
      const described = text.replace(call, () => `describeFile(${plain}`);
      return {
        contents: `import { describeFile } from ${JSON.stringify(runtime)};\n${described}`,
        loader: path.endsWith('.ts') ? 'ts' : 'js',
      };
    });
  },
};
