/** The results of the long form as Markdown. */
import type { Machine } from '@mesh/bench/machine';
import { median } from '@mesh/bench/median';
import type { MeasureOptions } from './measure-attack.ts';
import { allowedMs, faults, floorMs, megabytes, p50, p99, type Row, type Window } from './verdict.ts';

export interface AttackResults {
  /** ISO 8601. */
  readonly date: string;
  readonly minutes: number;
  readonly machine: Machine;
  readonly options: MeasureOptions;
  readonly rows: readonly Row[];
}

export function markdown({ machine, options, rows }: AttackResults): string {
  const failed = rows.filter((row) => faults(row).length > 0);
  return `# Results of \`npm run endurance -- attacks\`

${machine.cores} × ${machine.cpu}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}. ${rows.length} attacks, ${failed.length} failed. Measured
${measured(rows)}.

Two sidecars, as pods run them, stand between a victim (200 requests/s at fixed times, 4 connections, latencies from when a request was
due) and an application. The attacker has a certificate of the mesh and speaks to the sidecar before the application, on connections
of its own (M-7 and M-8: a gateway stands between the sidecars, and the attacker is a peer of the other cluster who speaks to it). Victim,
attacker, applications and proxies are processes of their own.

Windows of ${options.seconds} s without and with the attack take turns; where an attack takes longer, so does its window. p50 and p99 are medians over the
windows. p99 may be twice the baseline, or ${floorMs} ms above it: the victim's requests take less than a millisecond, and a process that
runs already keeps its processor for longer than that. The attacker runs at the lowest priority and the rest at a real-time one, since
they share two cores and the question is what the proxy does with its own time. It opens at most 25 connections a second where
connections are not the attack.

*Counted* are limits that were hit and refusals, from the attacked proxy's metrics. Memory and CPU are of that proxy: private bytes
before, at most, and after; share of a core without and with.

| | attack | windows, rounds, connections | attacker's end | counted | p50 ms | p99 ms | ratio | errors | memory MB | CPU % | verdict (commit) |
|---|---|---|---|---|---|---|---|---|---|---|---|
${rows.map(line).join('\n')}
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
  const ends = new Map<string, number>();
  for (const report of attacks) {
    for (const [end, count] of Object.entries(report.ends)) ends.set(end, (ends.get(end) ?? 0) + count);
  }
  const listed = (entries: Iterable<readonly [string, number]>): string =>
    [...entries]
      .toSorted(([, one], [, other]) => other - one)
      .map(([name, count]) => `${name} × ${count}`)
      .join('<br>');
  const [before, during] = [p99(baseline), p99(attacked)];
  const pair = (one: number, other: number): string => `${one.toFixed(2)} → ${other.toFixed(2)}`;
  const cells = [
    id,
    what.replaceAll('|', '\\|'),
    `${attacks.length}, ${sum(attacks.map(({ rounds }) => rounds))}, ${sum(attacks.map(({ connections }) => connections))}`,
    listed(ends),
    listed(Object.entries(counted)),
    pair(p50(baseline), p50(attacked)),
    `${pair(before, during)} (may ${allowedMs(row).toFixed(2)})`,
    (during / before).toFixed(2),
    String(sum(attacked.map(({ failed }) => failed))),
    [memory.before, memory.peak, memory.after].map(megabytes).join(' / '),
    `${cpu(baseline)} → ${cpu(attacked)}`,
    `${faults(row).length === 0 ? 'ok' : '**fails**'} (${row.commit})`,
  ];
  return `| ${cells.join(' | ')} |`;
}

function cpu(windows: readonly Window[]): string {
  return (100 * median(windows.map(({ cpuShare }) => cpuShare))).toFixed(0);
}
