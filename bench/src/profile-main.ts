/** `npm run profile`: where our proxies spend their time in cells of the bench, for docs/where-the-time-goes.md. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { systemClock as clock } from '@mesh/clock/system';
import { describeError } from '@mesh/errors/mesh-error';
import { type Cell, cells } from './cells.ts';
import { choose } from './choose.ts';
import { oursFromSources } from './contestants/ours.ts';
import { cpuOfHops, measure } from './measure.ts';
import { namedFunctions, Recorder } from './profile/recorder.ts';
import { type HopProfile, profileTable } from './profile/table.ts';
import { type Playing, StageSet } from './stage-set.ts';
import { makeTrust } from './trust-material.ts';
import { isInWorld, prepareNetwork, runInWorld } from './world.ts';

const root = resolve(import.meta.dirname, '../..');
const usage = `npm run profile -- [--cells NAMES] [--connections N] [--seconds S] [--functions N]
Cells are those of the bench. --functions: so many of the functions that took most, of each hop.`;
const defaultCells = 'plain,mtls,grpc,tcp-mtls,connect';
const warmUpSeconds = 5;

interface ProfileOptions {
  readonly cells: readonly string[];
  readonly connections: number;
  readonly seconds: number;
  readonly functions: number;
}

function options(args: readonly string[]): ProfileOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      cells: { type: 'string', default: defaultCells },
      connections: { type: 'string', default: '32' },
      seconds: { type: 'string', default: '5' },
      functions: { type: 'string', default: '0' },
    },
  });
  return {
    cells: values.cells.split(','),
    connections: Number(values.connections),
    seconds: Number(values.seconds),
    functions: Number(values.functions),
  };
}

async function profile(order: ProfileOptions): Promise<void> {
  await prepareNetwork();
  const directory = mkdtempSync(join(tmpdir(), 'mesh-profile-'));
  chmodSync(directory, 0o755);
  const trust = makeTrust(directory, clock);
  const skip = (what: string): never => {
    throw new Error(what);
  };
  const contestants = [oursFromSources(({ directory: own }) => namedFunctions(own))];
  for (const [scene, ofScene] of Map.groupBy(choose('cell', cells, order.cells), (cell) => cell.scene)) {
    const set = await StageSet.open(scene, contestants, { clock, trust, directory, root, skip });
    for (const cell of ofScene) {
      for (const playing of set.playing) process.stdout.write(`${await profileCell(cell, playing, order)}\n`);
    }
    await set.close();
  }
  rmSync(directory, { recursive: true });
}

/** Its table, in Markdown. */
async function profileCell(cell: Cell, playing: Playing, order: ProfileOptions): Promise<string> {
  const { connections, seconds, functions } = order;
  const { hops, stage } = playing;
  await cell.load(playing, { connections, seconds: warmUpSeconds });
  const recorders = hops.map(({ pid }) => new Recorder(pid, stage.directory));
  const sample = await measure(playing, () => cell.load(playing, { connections, seconds }));
  // Of a GB, milliseconds are readable.
  const [scale, unit] = cell.unit === 'GB' ? [1000, 'ms per GB'] : [1, `µs per ${cell.unit}`];
  const costs = cpuOfHops(sample, cell.unit).map((micros) => micros / scale);
  const profiled = hops.map(async ({ name }, index): Promise<HopProfile> => {
    const recorder = recorders[index];
    if (recorder === undefined) throw new Error(`${name} was not recorded`);
    return { name, cost: costs[index] ?? 0, profile: await recorder.stop() };
  });
  return profileTable({ title: cell.title, unit, connections, functions, hops: await Promise.all(profiled) });
}

try {
  const args = process.argv.slice(2);
  if (args.includes('--help')) {
    process.stdout.write(`${usage}\n`);
  } else if (isInWorld()) {
    await profile(options(args));
    process.exit(0);
  } else {
    process.exitCode = await runInWorld(fileURLToPath(import.meta.url), args);
  }
} catch (thrown) {
  process.stderr.write(`${describeError(thrown)}\n`);
  process.exit(1);
}
