/**
 * `npm run endurance -- attacks`: each attack of the survey against the real sidecar, beside a victim whose latency is measured
 * with and without it. Exit code 1 when a row fails. All attacks write bench/results; some, named, are only printed.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeMachine } from '@mesh/bench/machine';
import { isInWorld, prepareNetwork, runInWorld } from '@mesh/bench/world';
import { systemClock as clock } from '@mesh/clock/system';
import { describeError, MeshError } from '@mesh/errors/mesh-error';
import { sleep } from '@mesh/clock/clock';
import { Arena } from './arena.ts';
import { knownAttacks } from './known-attacks.ts';
import { measureAttack, type MeasureOptions } from './measure-attack.ts';
import { type AttackResults, markdown } from './report.ts';
import { faults, p99, type Row } from './verdict.ts';

const root = resolve(import.meta.dirname, '../../..');
const resultsDirectory = join(root, 'bench/results');
const say = (text: string): void => void process.stderr.write(`${text}\n`);
/**
 * Everything but the attacker goes first, ahead of whatever else the machine does: this is about what the proxy does with its time, not
 * about who gets one of few processors. Only root may say so.
 */
const measuredFirst = process.getuid?.() === 0 ? ['chrt', '--rr', '1'] : [];
/** Whatever hangs: a run that does not end is no result. */
const longestRunMs = 90 * 60_000;
/** For code to be compiled and windows to grow, before the first row. */
const warmUpMs = 5000;

const usage = `npm run endurance -- attacks                      every attack; writes bench/results/ATTACKS.md
npm run endurance -- attacks [IDS] [--seconds S] [--repeats N] [--repeats-when-close N] [--out DIRECTORY]
IDS: ${knownAttacks.map(({ id }) => id).join(' ')}`;

interface Arguments extends MeasureOptions {
  readonly ids: readonly string[];
  readonly out: string | undefined;
}

/** @throws MeshError cli-usage */
function argumentsOf(args: readonly string[]): Arguments {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      seconds: { type: 'string' },
      repeats: { type: 'string' },
      'repeats-when-close': { type: 'string' },
      out: { type: 'string' },
    },
  });
  const unknown = positionals.filter((id) => knownAttacks.every((known) => known.id !== id));
  const [seconds, repeats] = [Number(values.seconds ?? 2), Number(values.repeats ?? 3)];
  const repeatsWhenClose = Number(values['repeats-when-close'] ?? 3 * repeats);
  if (unknown.length > 0)
    throw new MeshError('cli-usage', `there is no attack ${unknown.join(', ')}`, { remedy: usage });
  const counts = [repeats, repeatsWhenClose];
  if (
    !(seconds >= 1 && seconds <= 600) ||
    counts.some((count) => !Number.isInteger(count) || count < 1 || count > 100)
  ) {
    throw new MeshError('cli-usage', `${seconds} seconds, ${counts.join(' or ')} repeats`, { remedy: usage });
  }
  const ids = positionals.length > 0 ? positionals : knownAttacks.map(({ id }) => id);
  return {
    ids,
    seconds,
    repeats,
    repeatsWhenClose,
    out: values.out ?? (positionals.length === 0 ? resultsDirectory : undefined),
  };
}

async function measureAll({ ids, ...options }: Arguments): Promise<AttackResults> {
  const started = clock.now();
  const machine = describeMachine(root);
  const directory = mkdtempSync(join(tmpdir(), 'mesh-attacks-'));
  chmodSync(directory, 0o755);
  const rows: Row[] = [];
  const chosen = knownAttacks.filter(({ id }) => ids.includes(id));
  for (const [place, attacks] of Map.groupBy(chosen, (attack) => attack.place)) {
    const own = join(directory, place);
    mkdirSync(own);
    chmodSync(own, 0o755);
    const arena = await Arena.open(place, { clock, root, directory: own });
    await sleep(clock, warmUpMs);
    for (const attack of attacks) {
      const row = { ...(await measureAttack(clock, arena, attack, options)), commit: machine.commit };
      rows.push(row);
      const verdict = faults(row).join('; ') || 'ok';
      say(`${row.id}: p99 ${p99(row.baseline).toFixed(2)} -> ${p99(row.attacked).toFixed(2)} ms; ${verdict}`);
    }
    await arena.close();
  }
  if (rows.every((row) => faults(row).length === 0)) rmSync(directory, { recursive: true, force: true });
  else say(`logs: ${directory}`);
  return {
    date: new Date(clock.wall()).toISOString(),
    minutes: (clock.now() - started) / 60_000,
    machine,
    options,
    rows,
  };
}

/** Rows of a run of some attacks take the place of those of an earlier run; each says of when it is. */
function withEarlier(rows: readonly Row[], file: string): Row[] {
  const earlier = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as AttackResults).rows : [];
  return knownAttacks.flatMap(({ id }) => {
    const row = [...rows, ...earlier].find((one) => one.id === id);
    return row === undefined ? [] : [row];
  });
}

/** Exit code. */
async function measure(asked: Arguments): Promise<number> {
  clock.after(
    longestRunMs,
    () => {
      say(`ended after ${longestRunMs / 60_000} minutes without being done`);
      process.exit(1);
    },
    true,
  );
  await prepareNetwork();
  const results = await measureAll(asked);
  if (asked.out === undefined) {
    process.stdout.write(`\n${markdown(results)}`);
  } else {
    const all = { ...results, rows: withEarlier(results.rows, join(asked.out, 'attacks.json')) };
    mkdirSync(asked.out, { recursive: true });
    writeFileSync(join(asked.out, 'ATTACKS.md'), markdown(all));
    writeFileSync(join(asked.out, 'attacks.json'), `${JSON.stringify(all, null, 1)}\n`);
  }
  return results.rows.every((row) => faults(row).length === 0) ? 0 : 1;
}

try {
  const args = process.argv.slice(2);
  const asked = argumentsOf(args);
  if (isInWorld()) process.exit(await measure(asked));
  process.exitCode = await runInWorld(fileURLToPath(import.meta.url), args, measuredFirst);
} catch (thrown) {
  say(describeError(thrown));
  process.exit(1);
}
