/**
 * Requests at a steady rate that keep coming whatever becomes of earlier ones, each remembered. Spoken to by messages: a LoadOrder
 * starts it, `take` is answered with a Sample of every request that ended since the last one, and of those that wait.
 */
import { Agent, get } from 'node:http';
import { systemClock as clock } from '@mesh/clock/system';

export interface LoadOrder {
  readonly host: string;
  readonly port: number;
  /** Requests per second. */
  readonly rate: number;
}

export interface Sample {
  /** When it was sent, ms of the wall clock. */
  readonly at: number;
  /** Until its answer was complete; of one that waits, until now. */
  readonly ms: number;
  /** 0: the connection ended first. */
  readonly status: number;
  /** Still, for its answer. */
  readonly waits: boolean;
}

const tickMs = 5;
const mostUnderWay = 5000;
const agent = new Agent({ keepAlive: true });
/** When each request that waits was sent. */
const waiting = new Set<{ readonly at: number }>();
let samples: Sample[] = [];

function ask({ host, port }: LoadOrder): void {
  const sent = { at: clock.wall() };
  waiting.add(sent);
  const end = (status: number): void => {
    if (waiting.delete(sent)) samples.push({ ...sent, ms: clock.wall() - sent.at, status, waits: false });
  };
  const request = get({ host, port, agent }, (response) => {
    response.resume();
    response.on('close', () => end(response.complete ? (response.statusCode ?? 0) : 0));
  });
  request.on('error', () => end(0));
}

function start(order: LoadOrder): void {
  const startedAt = clock.now();
  let sent = 0;
  clock.every(tickMs, () => {
    const due = ((clock.now() - startedAt) * order.rate) / 1000;
    for (; sent < due; sent++) if (waiting.size < mostUnderWay) ask(order);
  });
}

process.on('message', (message: LoadOrder | 'take') => {
  if (message !== 'take') {
    start(message);
    return;
  }
  const now = clock.wall();
  const stillWaiting = Array.from(
    waiting,
    ({ at }): Sample => ({ at, ms: now - at, status: 0, waits: true }),
  );
  process.send?.([...samples, ...stillWaiting]);
  samples = [];
});
