/** `npm run bench`: measures in namespaces of its own. */
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock as clock } from '@mesh/clock/system';
import { describeError } from '@mesh/errors/mesh-error';
import { benchArguments, usage } from './arguments.ts';
import { bench } from './bench.ts';
import { markdown, writeResults } from './results.ts';
import { isInWorld, prepareNetwork, runInWorld } from './world.ts';

const root = resolve(import.meta.dirname, '../..');
/** Whatever hangs: a bench that does not end is no bench. */
const longestRunMs = 40 * 60_000;
const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** Exit code: 1 when something that was asked for was not measured. */
async function measure(args: readonly string[]): Promise<number> {
  let code = 0;
  const options = benchArguments(args);
  clock.after(
    longestRunMs,
    () => fail(`ended after ${longestRunMs / 60_000} minutes without being done`),
    true,
  );
  await prepareNetwork();
  await bench(options, { clock, root, say }, (results, stages) => {
    if (options.out === undefined) {
      process.stdout.write(`\n${markdown(results)}\n`);
    } else {
      writeResults(results, options.out, stages);
      process.stdout.write(`written: ${join(options.out, 'RESULTS.md')}\n`);
    }
  });
  return code;
}

function fail(words: string): never {
  say(words);
  process.exit(1);
}

try {
  const args = process.argv.slice(2);
  if (args.includes('--help')) {
    process.stdout.write(`${usage}\n`);
  } else if (isInWorld()) {
    process.exit(await measure(args));
  } else {
    benchArguments(args);
    process.exitCode = await runInWorld(fileURLToPath(import.meta.url), args);
  }
} catch (thrown) {
  fail(describeError(thrown));
}
