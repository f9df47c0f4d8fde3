/** One whole run: scene after scene, then what it found. */
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '@mesh/clock/clock';
import type { BenchArguments } from './arguments.ts';
import { type Cell, cells, httpPair, plainHttp } from './cells.ts';
import { choose } from './choose.ts';
import type { Contestant, Scene } from './contestants/contestant.ts';
import { contestants } from './contestants/contestants.ts';
import { ours } from './contestants/ours.ts';
import { type CrossCheck, crossCheck } from './cross-check.ts';
import { describeMachine } from './machine.ts';
import type { Participant, Results } from './results.ts';
import { run, type RunReport, type Series } from './run.ts';
import { sidecarFacts, type SidecarFacts, startTimes } from './sidecar.ts';
import { StageSet } from './stage-set.ts';
import { makeTrust, type TrustMaterial } from './trust-material.ts';

/** What is not a cell, but can be asked for like one. */
const extras = [{ name: 'sidecar' }, { name: 'cross-check' }] as const;
const startsMeasured = 5;
/** Folders of stages that are set up like others: their configurations need not be published again. */
const repeatsOthers = /^(sidecar|cross-check)-|ms-/;

export interface BenchEnvironment {
  readonly clock: Clock;
  readonly root: string;
  readonly say: (line: string) => void;
}

interface Session extends BenchEnvironment, RunReport {
  readonly options: BenchArguments;
  readonly directory: string;
  readonly trust: TrustMaterial;
  readonly present: readonly Contestant[];
}

/** @param keep called with the folders of the stages before they are removed; when something failed they stay, for their logs */
export async function bench(
  options: BenchArguments,
  environment: BenchEnvironment,
  keep: (results: Results, stages: readonly string[]) => void,
): Promise<void> {
  const { clock, root, say } = environment;
  const started = clock.now();
  const machine = describeMachine(root);
  const chosen = choose('cell', [...cells, ...extras], options.cells);
  const participants = probe(choose('contestant', contestants, options.only));
  for (const { title, absent } of participants) if (absent !== '') say(`not run: ${title}: ${absent}`);
  const directory = mkdtempSync(join(tmpdir(), 'mesh-bench-'));
  chmodSync(directory, 0o755);
  const skipped: string[] = [];
  const session: Session = {
    ...environment,
    skip: (what) => {
      say(`NOT MEASURED: ${what}`);
      skipped.push(what);
    },
    options,
    directory,
    trust: makeTrust(directory, clock),
    present: contestants.filter(({ name }) =>
      participants.some((one) => one.name === name && one.absent === ''),
    ),
  };
  const series = await runCells(
    session,
    cells.filter((cell) => chosen.includes(cell)),
  );
  const { sidecars, startMs } = chosen.includes(extras[0])
    ? await measureSidecars(session)
    : { sidecars: [], startMs: [] };
  const crossChecks = chosen.includes(extras[1]) ? await checkDriver(session) : [];
  const stages = readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !repeatsOthers.test(entry.name))
    .map(({ name }) => join(directory, name));
  const results: Results = {
    date: new Date(clock.wall()).toISOString(),
    minutes: (clock.now() - started) / 60_000,
    machine,
    options,
    participants,
    series,
    sidecars,
    startMs,
    crossChecks,
    skipped,
  };
  keep(results, stages);
  if (skipped.length === 0) rmSync(directory, { recursive: true, force: true });
  else say(`logs: ${directory}`);
}

function probe(asked: readonly Contestant[]): Participant[] {
  return asked.map((one) => {
    const found = one.probe();
    const { name, title } = one;
    return 'absent' in found
      ? { name, title, version: '', absent: found.absent }
      : { name, title, version: found.version, absent: '' };
  });
}

async function runCells(session: Session, chosen: readonly Cell[]): Promise<Series[]> {
  const series: Series[] = [];
  for (const [scene, ofScene] of Map.groupBy(chosen, (cell) => cell.scene)) {
    const baseline = ofScene.some((cell) => cell.baseline);
    series.push(
      ...(await onStages(session, { scene, baseline, name: scene.name }, (set) =>
        run(ofScene, set.playing, session.options, session),
      )),
    );
  }
  return series;
}

function measureSidecars(session: Session): Promise<{ sidecars: SidecarFacts[]; startMs: number[] }> {
  const { clock, say } = session;
  say('sidecars: idle, then with 1,000 connections, then start to ready');
  return onStages(session, { scene: httpPair, baseline: false, name: 'sidecar' }, async (set) => ({
    sidecars: await sidecarFacts(clock, set),
    startMs: await startTimes(clock, set, ours, startsMeasured),
  }));
}

function checkDriver(session: Session): Promise<CrossCheck[]> {
  session.say('our driver against wrk and h2load');
  const some = session.present.filter(({ name }) => name === 'ours' || name === 'direct');
  return onStages(
    { ...session, present: some },
    { scene: plainHttp, baseline: true, name: 'cross-check' },
    (set) => crossCheck(set.playing, session.options.seconds),
  );
}

interface Setting {
  readonly scene: Scene;
  /** Whether `no proxy` plays, too. */
  readonly baseline: boolean;
  /** Of the stages' folders. */
  readonly name: string;
}

async function onStages<Result>(
  { clock, trust, directory, root, present, skip }: Session,
  { scene, baseline, name }: Setting,
  use: (set: StageSet) => Promise<Result>,
): Promise<Result> {
  const playing = present.filter((one) => one.declines(scene) === undefined && (one.intercepted || baseline));
  const set = await StageSet.open({ ...scene, name }, playing, { clock, trust, directory, root, skip });
  const result = await use(set);
  await set.close();
  return result;
}
