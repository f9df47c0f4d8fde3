/** What the deaths of gateways cost, as a table, with a verdict. */
import type { RunFacts } from '../endurance-program.ts';
import { median } from '../median.ts';
import type { DeadPeersOptions, Found } from './dead-peers.ts';
import type { Death } from './dead-peers-stage.ts';
import { boundMs, isInTime, type Outcome } from './outcome.ts';

export interface Report extends RunFacts {
  readonly options: DeadPeersOptions;
  readonly found: readonly Found[];
}

const words: Readonly<Record<Death, string>> = {
  killed: 'its process is killed (SIGKILL)',
  stopped: 'its process stands still (SIGSTOP); its kernel acknowledges',
  gone: 'its machine is gone: every packet to and from it is dropped',
};

export const isGood = ({ found }: Report): boolean => found.length > 0 && found.every(isMet);

function isMet({ death, roundTripMs, outcomes }: Found): boolean {
  return outcomes.every((outcome) => isInTime(death, roundTripMs, outcome));
}

export function markdown(report: Report): string {
  const { date, machine, options, found } = report;
  return `# Results of \`npm run endurance -- dead-peers\`

${date.slice(0, 10)}, ${machine.cores} × ${machine.cpu}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}, commit ${machine.commit}; load
average before the run ${machine.load.toFixed(2)}. One of two gateways dies under ${options.rate} requests/s, ${options.repeats} times in each way; median, and least to most. What
is measured, and how, is in [../README.md](../README.md). A silent gateway is left so long after its last byte, which may be half a round trip
later than its death; 100 ms are granted to the machine that measures.

| the gateway | round trip, ms | left after, ms | bound, ms | first good answer after, ms | requests lost | slowest good answer, ms | |
|---|---|---|---|---|---|---|---|
${found.map((row) => `| ${cells(row).join(' | ')} |\n`).join('')}`;
}

function cells(row: Found): string[] {
  const { death, roundTripMs, outcomes } = row;
  const range = (of: (outcome: Outcome) => number): string => {
    const values = outcomes.map(of);
    const [middle, least, most] = [median(values), Math.min(...values), Math.max(...values)].map(Math.round);
    return `${middle} (${least}–${most})`;
  };
  return [
    words[death],
    String(roundTripMs),
    range(({ leftAfterMs }) => leftAfterMs),
    String(boundMs(death, roundTripMs)),
    range(({ firstGoodMs }) => firstGoodMs),
    range(({ failed }) => failed),
    range(({ slowestGoodMs }) => slowestGoodMs),
    isMet(row) ? 'met' : '**MISSED**',
  ];
}
