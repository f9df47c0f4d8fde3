import { execFileSync } from 'node:child_process';
import { build, type Plugin } from 'esbuild';
import { bundleOptions, root } from '../bundle-options.ts';

/** What a program prints as JSON that is bundled with these plugins. */
export async function runBundled(program: string, plugins: Plugin[]): Promise<unknown> {
  const stdin = { contents: program, resolveDir: root };
  const { outputFiles } = await build({ ...bundleOptions, stdin, write: false, plugins });
  const input = outputFiles[0]?.text ?? '';
  return JSON.parse(execFileSync(process.execPath, ['--input-type=module'], { input, encoding: 'utf8' }));
}
