/** What an overload found, as a table, with a verdict. */
import type { RunFacts } from '../endurance-program.ts';
import type { LoadResult } from '../load/load-result.ts';
import { median } from '../median.ts';
import type { Overloaded, OverloadOptions, Round } from './overload.ts';

/** How much later than by a server that turns everybody away at once, p99. */
const shedWithinMs = 10;
/** Of what is served when as many are under way as may be. */
const leastGoodput = 0.9;
/** p99 at half load after the overload, of that before it. */
const mostAfter = 1.2;
/** Rounds that are timed: fewer say nothing about percentiles. */
const timedRounds = 3;

interface Check {
  readonly what: string;
  readonly found: string;
  readonly good: boolean;
}

export interface Report extends RunFacts, Overloaded {
  readonly options: OverloadOptions;
  readonly checks: readonly Check[];
}

export function reportOf(found: Overloaded, facts: RunFacts & { options: OverloadOptions }): Report {
  const timed = facts.options.rounds >= timedRounds;
  return { ...facts, ...found, checks: [...answers(found), ...(timed ? times(found) : [])] };
}

export function isGood({ checks }: Report): boolean {
  return checks.every(({ good }) => good);
}

const p99 = (load: LoadResult): number => load.latencyMs?.p99 ?? Number.NaN;
const shedP99 = (load: LoadResult): number => load.shed?.latencyMs.p99 ?? Number.NaN;
const lateP99 = (load: LoadResult): number => load.lateMs?.p99 ?? Number.NaN;

function answers({ before, rounds, after }: Overloaded): Check[] {
  const all = [before, ...rounds.map((round) => round.overload), after];
  const failed = all.reduce((sum, load) => sum + load.failed, 0);
  const [served, shed] = [
    rounds.reduce((sum, { overload }) => sum + overload.operations, 0),
    rounds.reduce((sum, { overload }) => sum + (overload.shed?.count ?? 0), 0),
  ];
  const calm = (before.shed?.count ?? 0) + (after.shed?.count ?? 0);
  return [
    { what: 'every request is served or turned away', found: `${failed} of others`, good: failed === 0 },
    { what: 'most are turned away', found: `${served} served, ${shed} turned away`, good: shed > served },
    { what: 'none is turned away at half load', found: `${calm}`, good: calm === 0 },
  ];
}

function times({ peakPerSecond, before, rounds, after }: Overloaded): Check[] {
  const goodput = median(rounds.map(({ overload }) => overload.operations / overload.seconds));
  const beyond = median(rounds.map(({ overload, control }) => shedP99(overload) - shedP99(control)));
  const [first, last] = [p99(before), p99(after)];
  return [
    {
      what: `at least ${leastGoodput} of ${peakPerSecond.toFixed(0)} requests/s are served, the most that it does`,
      found: `${goodput.toFixed(0)} requests/s`,
      good: goodput >= leastGoodput * peakPerSecond,
    },
    {
      what: `turned away at most ${shedWithinMs} ms later than by a server that does nothing else, p99, median of rounds`,
      found: `${beyond.toFixed(1)} ms`,
      good: beyond <= shedWithinMs,
    },
    {
      what: `p99 at half load is afterwards at most ${mostAfter} of what it was before, beyond the load generator's own delay`,
      found: `${first.toFixed(1)} ms before, ${last.toFixed(1)} ms after`,
      good: last <= mostAfter * first + lateP99(after),
    },
  ];
}

export function markdown(report: Report): string {
  const { date, machine, options, rounds, checks } = report;
  return `# Results of \`npm run endurance -- overload\`

${date.slice(0, 10)}, ${machine.cores} × ${machine.cpu}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}, commit ${machine.commit}; load
average before the run ${machine.load.toFixed(2)}. ${options.rounds} rounds of ${options.seconds} s. How it is measured is in [../README.md](../README.md).

${checks.map(({ what, found, good }) => `- ${good ? 'yes' : '**no**'}: ${what}: ${found}\n`).join('')}
p50 / p99 in ms, from when a request was due. The control is the same load on a server that turns everybody away; "late" is the
load generator itself, p99; "ran" and "waited" are the sidecar: shares of the time that it ran, and that it could have run but another process did.

| round | served/s | served | turned away | control | late | late, control | ran | waited |
|---|---|---|---|---|---|---|---|---|
${rounds.map((round, index) => `| ${index + 1} | ${cells(round).join(' | ')} |\n`).join('')}`;
}

function cells({ overload, control, proxy }: Round): string[] {
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
  const pair = (latency: { p50: number; p99: number } | undefined): string =>
    latency === undefined ? '' : `${latency.p50.toFixed(1)} / ${latency.p99.toFixed(1)}`;
  return [
    (overload.operations / overload.seconds).toFixed(0),
    pair(overload.latencyMs),
    pair(overload.shed?.latencyMs),
    pair(control.shed?.latencyMs),
    lateP99(overload).toFixed(1),
    lateP99(control).toFixed(1),
    percent(proxy.busy),
    percent(proxy.waited),
  ];
}
