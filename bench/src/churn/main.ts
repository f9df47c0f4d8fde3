/** `npm run endurance -- churn`: an hour in which everything comes and goes, in namespaces of its own. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock as clock } from '@mesh/clock/system';
import { describeError } from '@mesh/errors/mesh-error';
import { describeMachine } from '../machine.ts';
import { isInWorld, prepareNetwork, runInWorld } from '../world.ts';
import { churnArguments, usage } from './arguments.ts';
import { churn } from './churn.ts';
import { isGood, markdown, reportOf } from './report.ts';

const root = resolve(import.meta.dirname, '../../..');
const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** Exit code: 1 when memory grew, or something was left behind; the logs stay then. */
async function run(args: readonly string[]): Promise<number> {
  const { out, ...options } = churnArguments(args);
  await prepareNetwork();
  const machine = describeMachine(root);
  const date = new Date(clock.wall()).toISOString();
  const directory = mkdtempSync(join(tmpdir(), 'mesh-churn-'));
  chmodSync(directory, 0o755);
  const churned = await churn(options, { clock, root, directory, say });
  const report = reportOf(churned, { date, machine, options });
  process.stdout.write(markdown(report));
  if (out !== undefined) {
    mkdirSync(out, { recursive: true });
    writeFileSync(join(out, 'CHURN.md'), markdown(report));
    writeFileSync(join(out, 'churn.json'), `${JSON.stringify(report, null, 1)}\n`);
  }
  if (!isGood(report)) {
    say(`logs: ${directory}`);
    return 1;
  }
  rmSync(directory, { recursive: true, force: true });
  return 0;
}

try {
  const args = process.argv.slice(2);
  if (args.includes('--help')) {
    process.stdout.write(`${usage}\n`);
  } else if (isInWorld()) {
    process.exit(await run(args));
  } else {
    churnArguments(args);
    process.exitCode = await runInWorld(fileURLToPath(import.meta.url), args);
  }
} catch (thrown) {
  say(describeError(thrown));
  process.exit(1);
}
