/** One row: windows without and with the attack, in turn, so that whatever else the machine does hits both. */
import { type Clock, sleep } from '@mesh/clock/clock';
import type { TlsAttack } from '../testing/tls-attacks.ts';
import type { Arena } from './arena.ts';
import { attacksInNumbers } from './attacks-in-numbers.ts';
import { cpuBounds } from './known-attacks.ts';
import type { AttackOrder, AttackReport } from './messages.ts';
import { isClose, type Row, spareDescriptors, type Window } from './verdict.ts';

export interface MeasureOptions {
  /** Pairs of windows of a row. */
  readonly repeats: number;
  /** And where those come close to what is allowed, or beyond it: all count, and the number is not decided again. */
  readonly repeatsWhenClose: number;
  /** Of a window; with an attack that takes longer, until it is over. */
  readonly seconds: number;
}

const MB = 1e6;
/** What an attack may make the proxy hold, all its connections together. */
const memoryBound = 32 * MB;
/** Of 5,000 slow connections; and where the attack is that something stays of each of 10,000. */
const memoryBounds: Readonly<Record<string, number>> = { 'H1-12': 128 * MB, 'H2-13': 16 * MB };
/** For what an attack leaves to be cleared away. */
const settleMs = 500;
/** For connections to the application that attackers made necessary. */
const longestSettleMs = 20_000;
/** Of windows that take turns: an attack that takes longer has fewer of them, each with more requests. */
const longestTurnsMs = 60_000;

export async function measureAttack(
  clock: Clock,
  arena: Arena,
  { id, what }: TlsAttack,
  { repeats, repeatsWhenClose, seconds }: MeasureOptions,
): Promise<Omit<Row, 'commit'>> {
  const [baseline, attacked, attacks]: [Window[], Window[], AttackReport[]] = [[], [], []];
  const pageBefore = await arena.metrics();
  const before = arena.privateBytes();
  const descriptorsBefore = arena.descriptors();
  let peak = before;
  const without = async (): Promise<void> => {
    baseline.push(await arena.window(() => sleep(clock, seconds * 1000)));
  };
  const under = async (order: AttackOrder): Promise<Window> => {
    const window = await arena.window(async () => {
      attacks.push(await arena.attack(order, (bytes) => (peak = Math.max(peak, bytes))));
    });
    await sleep(clock, settleMs);
    return window;
  };
  const takeTurns = async (times: number): Promise<void> => {
    const end = clock.now() + longestTurnsMs;
    for (let time = 0; time < times && (time === 0 || clock.now() < end); time++) {
      await without();
      attacked.push(await under({ attack: id, seconds }));
    }
  };
  await takeTurns(repeats);
  while (baseline.length < repeats) await without();
  if (isClose({ baseline, attacked })) await takeTurns(repeatsWhenClose - repeats);
  const many = attacksInNumbers[id];
  const inNumbers = many && {
    what: many.what,
    window: await under({ attack: id, seconds: 'in numbers' }),
    smaller: many.smaller,
  };
  const end = clock.now() + longestSettleMs;
  while (arena.descriptors() > descriptorsBefore + spareDescriptors && clock.now() < end) {
    await sleep(clock, settleMs);
  }
  return {
    id,
    what,
    baseline,
    attacked,
    attacks,
    inNumbers,
    counted: counted(pageBefore, await arena.metrics()),
    memory: { before, peak, after: arena.privateBytes() },
    memoryBound: memoryBounds[id] ?? memoryBound,
    cpuBound: cpuBounds[id],
    descriptors: { before: descriptorsBefore, after: arena.descriptors() },
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
