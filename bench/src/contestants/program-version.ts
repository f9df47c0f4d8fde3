import { spawnSync } from 'node:child_process';
import { toolPath } from '@mesh/node/run-tool';

/** First line that matches of what a program says about itself, or that it is not there. */
export function programVersion(
  command: readonly [string, ...string[]],
  pattern: RegExp,
): { readonly version: string } | { readonly absent: string } {
  const [program, ...args] = command;
  const { error, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    env: { PATH: toolPath },
    timeout: 10_000,
  });
  if (error !== undefined) return { absent: `${program} cannot be run: ${error.message}` };
  const found = pattern.exec(`${stdout}\n${stderr}`);
  return found === null ? { absent: `${program} tells no version` } : { version: found[1] ?? found[0] };
}
