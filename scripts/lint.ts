/** Everything that can be said about the repository without running it. Each step names the command to repeat it. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const steps: readonly [name: string, command: string, args: readonly string[]][] = [
  ['types', 'tsc', ['--noEmit', '-p', '.']],
  ['lint', 'oxlint', ['--type-aware', '.']],
  ['format', 'biome', ['format', '.']],
  ['dead code', 'knip', []],
];
let failed = 0;
for (const [name, command, args] of steps) {
  const started = performance.now();
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(
    `${status === 0 ? 'ok' : 'FAILED'}  ${name} (${seconds} s): ${command} ${args.join(' ')}\n`,
  );
  if (status !== 0) failed++;
}
process.exitCode = failed === 0 ? 0 : 1;
