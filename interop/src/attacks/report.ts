/** The results of the long form as Markdown. */
import type { Machine } from '@mesh/bench/machine';
import type { MeasureOptions } from './measure-attack.ts';
import type { AttackReport } from './messages.ts';
import { allowedMs, cpu, faults, floorMs, megabytes, p50, p99, percent, type Row } from './verdict.ts';

export interface AttackResults {
  /** ISO 8601. */
  readonly date: string;
  readonly minutes: number;
  readonly machine: Machine;
  readonly options: MeasureOptions;
  readonly rows: readonly Row[];
}

export function markdown({ machine, minutes, options, rows }: AttackResults): string {
  const failed = rows.filter((row) => faults(row).length > 0);
  return `# Results of \`npm run endurance -- attacks\`

${machine.cores} × ${machine.cpu}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}. ${rows.length} attacks, ${failed.length} failed. Measured
${measured(rows)}; the last run took ${minutes.toFixed(0)} minutes.

Two sidecars, as pods run them, stand between a victim (200 requests/s at fixed times, 4 connections, latencies from when a request was
due) and an application. The attacker has a certificate of the mesh and speaks to the sidecar before the application, on connections
of its own (M-7 and M-8: a gateway stands between the sidecars, and the attacker is a peer of the other cluster who speaks to it). Victim,
attacker, applications and proxies are processes of their own.

Windows of ${options.seconds} s without and with the attack take turns, ${options.repeats} times; where an attack takes longer, so does its window, and there may be fewer. When
the medians of those are close to what is allowed, or beyond it, there are ${options.repeatsWhenClose - options.repeats} more of each: whether so is decided once, and every window counts.
p50 and p99 are medians over the windows. p99 may be twice the baseline, or ${floorMs} ms above it: the victim's requests take less than a millisecond, and a process that
runs already keeps its processor for longer than that. The attacker runs at the lowest priority and the rest at a real-time one, since
they share two cores and the question is what the proxy does with its own time. It opens at most 25 connections a second where
connections are not the attack, and 2 for H2-10 and H2-21, whose frames are held to a share of a core.

*Counted* are limits that were hit and refusals, from the attacked proxy's metrics. Memory and CPU are of that proxy: private bytes
before, at most, and after; share of a core without and with. A row fails as well when memory grows by more than 32 MB (H1-12: 128,
H2-13: 16), when more than a few descriptors are left open, or, for H2-10 and H2-21, when the attack costs more than 5 % of a core.

| | attack | windows, rounds, connections | attacker's end | counted | p50 ms | p99 ms | ratio | errors | memory MB | CPU % | verdict (commit) |
|---|---|---|---|---|---|---|---|---|---|---|---|
${rows.map(line).join('\n')}

Where the survey names numbers, the attack was run in them once more, beside the same victim, whose p99 over that whole time is held to
the same limit:

| | in numbers | connections | attacker's end | p99 ms | errors | CPU % | smaller than the survey asks for, and why |
|---|---|---|---|---|---|---|---|
${rows.flatMap(numbersLine).join('\n')}
${failed.map((row) => `\n- **${row.id}**: ${faults(row).join('; ')}`).join('')}
`;
}

/** On which days, and of which commits. */
function measured(rows: readonly Row[]): string {
  const runs = new Set(rows.map(({ date, commit }) => `${date.slice(0, 10)} at ${commit}`));
  return [...runs].join(', ');
}

function line(row: Row): string {
  const { id, what, baseline, attacked, attacks, counted, memory } = row;
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const [before, during] = [p99(baseline), p99(attacked)];
  const pair = (one: number, other: number): string => `${one.toFixed(2)} → ${other.toFixed(2)}`;
  const cells = [
    id,
    what.replaceAll('|', '\\|'),
    `${attacked.length}, ${sum(attacks.map(({ rounds }) => rounds))}, ${sum(attacks.map(({ connections }) => connections))}`,
    listed(endsOf(attacks)),
    listed(Object.entries(counted)),
    pair(p50(baseline), p50(attacked)),
    `${pair(before, during)} (may ${allowedMs(row).toFixed(2)})`,
    (during / before).toFixed(2),
    String(sum(attacked.map(({ failed }) => failed))),
    [memory.before, memory.peak, memory.after].map(megabytes).join(' / '),
    `${percent(cpu(baseline))} → ${percent(cpu(attacked))}`,
    `${faults(row).length === 0 ? 'ok' : '**fails**'} (${row.commit})`,
  ];
  return `| ${cells.join(' | ')} |`;
}

/** A row for each attack that was run in numbers, too. */
function numbersLine(row: Row): string[] {
  const { id, inNumbers, attacks } = row;
  const report = attacks.at(-1);
  if (inNumbers === undefined || report === undefined) return [];
  const { what, window, smaller = '' } = inNumbers;
  const { failed, served, latencyMs, cpuShare } = window;
  const cells = [
    id,
    what,
    String(report.connections),
    listed(endsOf([report])),
    `${latencyMs.p99.toFixed(2)} (may ${allowedMs(row).toFixed(2)})`,
    `${failed} of ${served + failed}`,
    percent(cpuShare),
    smaller,
  ];
  return [`| ${cells.join(' | ')} |`];
}

function endsOf(reports: readonly AttackReport[]): Map<string, number> {
  const ends = new Map<string, number>();
  for (const report of reports) {
    for (const [end, count] of Object.entries(report.ends)) ends.set(end, (ends.get(end) ?? 0) + count);
  }
  return ends;
}

function listed(entries: Iterable<readonly [string, number]>): string {
  return [...entries]
    .toSorted(([, one], [, other]) => other - one)
    .map(([name, count]) => `${name} × ${count}`)
    .join('<br>');
}
