/**
 * Clients of the churn, a process that is killed and started anew. Argument: a file with a ClientsOrder, which is read again at
 * SIGHUP. Prints a ClientsReport each second, of that second.
 */
import { readFileSync } from 'node:fs';
import type { Random } from '@mesh/clock/clock';
import { seededRandom } from '@mesh/clock/seeded';
import { systemClock as clock } from '@mesh/clock/system';
import { type Action, actions, Clients } from './client-actions.ts';
import type { ClientTarget } from './service-churn.ts';

export interface ClientsOrder {
  readonly seed: number;
  /** Actions per second. */
  readonly rate: number;
  readonly targets: readonly ClientTarget[];
}

export interface ClientsReport {
  /** Ended as they should. */
  readonly done: number;
  /** By action and what happened instead. */
  readonly failed: Readonly<Record<string, number>>;
  /** Not begun, since too many were under way. */
  readonly heldBack: number;
}

const tickMs = 20;
const mostUnderWay = 1000;

const readOrder = (): ClientsOrder => JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as ClientsOrder;
let order = readOrder();
process.on('SIGHUP', () => {
  order = readOrder();
});

const random: Random = seededRandom(order.seed);
const clients = new Clients(clock, random);
const weights = actions.reduce((sum, { weight }) => sum + weight, 0);
let done = 0;
let heldBack = 0;
let failed = new Map<string, number>();
let underWay = 0;
let due = 0;

function draw(): Action | undefined {
  let left = random.next() * weights;
  return actions.find(({ weight }) => (left -= weight) < 0);
}

async function act(): Promise<void> {
  const action = draw();
  const targets = order.targets.filter(({ protocol }) => protocol === action?.protocol);
  const target = targets[Math.floor(random.next() * targets.length)];
  if (action === undefined || target === undefined) return;
  underWay++;
  const outcome = await action.run(target, clients).catch((thrown: unknown) => String(thrown));
  underWay--;
  if (outcome === '') done++;
  else {
    const what = `${action.name}: ${outcome}`;
    failed.set(what, (failed.get(what) ?? 0) + 1);
  }
}

let ticked = clock.now();
clock.every(tickMs, () => {
  const now = clock.now();
  due += (order.rate * (now - ticked)) / 1000;
  ticked = now;
  for (; due >= 1; due--) {
    if (underWay < mostUnderWay) void act();
    else heldBack++;
  }
});

clock.every(1000, () => {
  const report: ClientsReport = { done, failed: Object.fromEntries(failed), heldBack };
  process.stdout.write(`${JSON.stringify(report)}\n`);
  done = 0;
  heldBack = 0;
  failed = new Map();
});
