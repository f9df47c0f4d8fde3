/** One row: windows without and with the attack, in turn, so that whatever else the machine does hits both. */
import { type Clock, sleep } from '@mesh/clock/clock';
import type { TlsAttack } from '../testing/tls-attacks.ts';
import type { Arena } from './arena.ts';
import type { AttackReport } from './messages.ts';
import type { Row, Window } from './verdict.ts';

export interface MeasureOptions {
  readonly repeats: number;
  /** Of a window; with an attack that takes longer, until it is over. */
  readonly seconds: number;
}

const MB = 1e6;
/** What an attack may make the proxy hold, all its connections together. */
const memoryBound = 32 * MB;
/** Of 5,000 slow connections. */
const memoryBounds: Readonly<Record<string, number>> = { 'H1-12': 128 * MB };

/** For what an attack leaves to be cleared away. */
const settleMs = 1000;

export async function measureAttack(
  clock: Clock,
  arena: Arena,
  { id, what }: TlsAttack,
  { repeats, seconds }: MeasureOptions,
): Promise<Omit<Row, 'commit'>> {
  const [baseline, attacked, attacks]: [Window[], Window[], AttackReport[]] = [[], [], []];
  const pageBefore = await arena.metrics();
  const before = arena.privateBytes();
  let peak = before;
  for (let repeat = 0; repeat < repeats; repeat++) {
    baseline.push(await arena.window(() => sleep(clock, seconds * 1000)));
    const window = await arena.window(async () => {
      attacks.push(await arena.attack(id, seconds, (bytes) => (peak = Math.max(peak, bytes))));
    });
    attacked.push(window);
    await sleep(clock, settleMs);
  }
  return {
    id,
    what,
    baseline,
    attacked,
    attacks,
    counted: counted(pageBefore, await arena.metrics()),
    memory: { before, peak, after: arena.privateBytes() },
    memoryBound: memoryBounds[id] ?? memoryBound,
    date: new Date(clock.wall()).toISOString(),
  };
}

/** How much limits and refusals grew, by name. */
function counted(before: string, after: string): Record<string, number> {
  const countsOf = (page: string): Map<string, number> =>
    new Map(
      Array.from(
        page.matchAll(
          /^(?:mesh_limit_hits_total\{limit|(?:mesh_tls|gateway_requests|gateway_connections)_refused_total\{[^}]*reason)="([^"]+)"[^}]*\} (\d+)$/gm,
        ),
        ([, name = '', count]) => [name, Number(count)],
      ),
    );
  const base = countsOf(before);
  const grown = Array.from(countsOf(after), ([name, count]): [string, number] => [
    name,
    count - (base.get(name) ?? 0),
  ]);
  return Object.fromEntries(grown.filter(([, count]) => count > 0));
}
