/**
 * `npm run fuzz [TARGET…] [-- --seconds N --seed N --save --replay FILE]`: fuzzes each target, or those named, in turn.
 * An input that fails is kept in `fuzz/crashes` and ends the run with 1.
 */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock, systemRandom } from '@mesh/clock/system';
import { saveCrash, saveInput } from './corpus.ts';
import { runSession } from './session.ts';
import type { FuzzTarget } from './target.ts';
import targets from './targets.ts';

/** Sources that take input: not the fuzzer, nor what tests are made of. */
const ours = /\/(packages|services|clusters)\/(?!testkit\/)(?!.*\/testing\/)/;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '20' },
    seed: { type: 'string' },
    save: { type: 'boolean', default: false },
    replay: { type: 'string' },
  },
});

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

function chosen(): readonly FuzzTarget[] {
  if (positionals.length === 0) return targets;
  return positionals.map(
    (name) =>
      targets.find((target) => target.name === name) ??
      fail(
        `No target ${name}. There are:\n${targets.map((each) => `  ${each.name}  ${each.what}`).join('\n')}`,
      ),
  );
}

async function replay(target: FuzzTarget, file: string): Promise<void> {
  await target.run(readFileSync(file));
  process.stdout.write(`${target.name}: ${file} is handled\n`);
}

async function fuzz(target: FuzzTarget): Promise<boolean> {
  const seed = values.seed === undefined ? Math.floor(systemRandom.next() * 2 ** 32) : Number(values.seed);
  const started = systemClock.now();
  const { report, failure } = await runSession({
    clock: systemClock,
    target,
    targets: new URL('./targets.ts', import.meta.url).href,
    covers: ours,
    seed,
    milliseconds: Number(values.seconds) * 1000,
    hangMs: 10_000,
    mostHeapMiB: 512,
    onProgress: ({ executions, features, corpus }) => {
      if (!process.stderr.isTTY) return;
      process.stderr.write(`\r${target.name}: ${executions} runs, ${features} features, ${corpus} inputs `);
    },
  });
  if (process.stderr.isTTY) process.stderr.write('\r');
  const seconds = (systemClock.now() - started) / 1000;
  const { executions = 0, features = 0, corpus = 0, found = [] } = report ?? {};
  process.stdout.write(
    `${target.name}: ${executions} runs, ${Math.round(executions / seconds)}/s, ${features} features, ` +
      `${corpus} inputs (${found.length} worth saving), seed ${seed}\n`,
  );
  if (values.save) for (const input of found) saveInput(target, Buffer.from(input));
  if (failure === undefined) return true;
  const path = relative('.', saveCrash(target.name, failure.input));
  process.stdout.write(
    `${target.name}: ${failure.what}, input in ${path}\n${failure.detail}\n` +
      `again: npm run fuzz ${target.name} -- --replay ${path}\n`,
  );
  return false;
}

if (!(Number(values.seconds) > 0)) fail(`--seconds ${values.seconds} is not a number of seconds`);
let good = true;
for (const target of chosen()) {
  if (values.replay !== undefined) await replay(target, values.replay);
  else good = (await fuzz(target)) && good;
}
process.exitCode = good ? 0 : 1;
