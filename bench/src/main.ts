/** `npm run bench`: measures in namespaces of its own. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock as clock } from '@mesh/clock/system';
import { describeError, MeshError } from '@mesh/errors/mesh-error';
import { benchArguments, type BenchArguments, usage } from './arguments.ts';
import { cells } from './cells.ts';
import type { Contestant } from './contestants/contestant.ts';
import { direct } from './contestants/direct.ts';
import { haproxy } from './contestants/haproxy.ts';
import { nginx } from './contestants/nginx.ts';
import { nodePair } from './contestants/node-pair.ts';
import { ours } from './contestants/ours.ts';
import { tables } from './report.ts';
import { run, type Series } from './run.ts';
import { StageSet } from './stage-set.ts';
import { makeTrust } from './trust-material.ts';
import { isInWorld, prepareNetwork, runInWorld } from './world.ts';

const contestants: readonly Contestant[] = [ours, haproxy, nginx, nodePair, direct];
const root = resolve(import.meta.dirname, '../..');
const longestRunMs = 25 * 60_000;
const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function bench(options: BenchArguments): Promise<void> {
  const chosen = pick('cell', cells, options.cells);
  const present = pick('contestant', contestants, options.only).filter((one) => {
    const found = one.probe();
    if ('absent' in found) say(`not run: ${one.title}: ${found.absent}`);
    return !('absent' in found);
  });
  // Whatever hangs: a bench that does not end is no bench.
  clock.after(
    longestRunMs,
    () => {
      say(`ended after ${longestRunMs / 60_000} minutes without being done`);
      process.exit(1);
    },
    true,
  );
  await prepareNetwork();
  const directory = mkdtempSync(join(tmpdir(), 'mesh-bench-'));
  chmodSync(directory, 0o755);
  const trust = makeTrust(directory, clock);
  const series: Series[] = [];
  for (const [scene, ofScene] of Map.groupBy(chosen, (cell) => cell.scene)) {
    const playing = present.filter(
      (one) =>
        one.declines(scene) === undefined && (one.intercepted || ofScene.some(({ baseline }) => baseline)),
    );
    const set = await StageSet.open(scene, playing, { clock, trust, directory, root });
    series.push(...(await run(ofScene, set.playing, options, say)));
    await set.close();
  }
  process.stdout.write(`\n${tables(series)}\n`);
  rmSync(directory, { recursive: true, force: true });
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
