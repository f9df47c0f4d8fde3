/** `npm run bench`: measures in namespaces of its own. */
import { fileURLToPath } from 'node:url';
import { systemClock as clock } from '@mesh/clock/system';
import { describeError, MeshError } from '@mesh/errors/mesh-error';
import { benchArguments, type BenchArguments, usage } from './arguments.ts';
import { type Cell, cells } from './cells.ts';
import type { Contestant } from './contestants/contestant.ts';
import { direct } from './contestants/direct.ts';
import { haproxy } from './contestants/haproxy.ts';
import { ours } from './contestants/ours.ts';
import { tables } from './report.ts';
import { run } from './run.ts';
import { StageSet } from './stage-set.ts';
import { isInWorld, prepareNetwork, runInWorld } from './world.ts';

const contestants: readonly Contestant[] = [ours, haproxy, direct];
const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function bench(options: BenchArguments): Promise<void> {
  const chosen = pick('cell', cells, options.cells);
  const present = pick('contestant', contestants, options.only).filter((one) => {
    const found = one.probe();
    if ('absent' in found) say(`not run: ${one.title}: ${found.absent}`);
    return !('absent' in found);
  });
  await prepareNetwork();
  const stages = new StageSet(clock);
  let failed = true;
  try {
    const modes = [...new Set(chosen.map(({ mode }: Cell) => mode))];
    await stages.open(
      modes.flatMap((mode) =>
        present.filter((one) => one.modes.includes(mode)).map((contestant) => ({ contestant, mode })),
      ),
    );
    const series = await run(chosen, stages.playing, options, say);
    process.stdout.write(`\n${tables(series)}\n`);
    failed = false;
  } finally {
    stages.close(failed);
  }
}

function pick<Named extends { readonly name: string }>(
  what: string,
  all: readonly Named[],
  names: readonly string[] | undefined,
): readonly Named[] {
  if (names === undefined) return all;
  const unknown = names.find((name) => all.every((one) => one.name !== name));
  if (unknown !== undefined) {
    throw new MeshError('cli-usage', `there is no ${what} ${unknown}`, {
      remedy: `${what}s: ${all.map(({ name }) => name).join(', ')}\n${usage}`,
    });
  }
  return all.filter(({ name }) => names.includes(name));
}

try {
  const args = process.argv.slice(2);
  const options = benchArguments(args);
  if (isInWorld()) {
    await bench(options);
    process.exit(0);
  }
  process.exitCode = await runInWorld(fileURLToPath(import.meta.url), args);
} catch (thrown) {
  say(describeError(thrown));
  process.exit(1);
}
