/**
 * The victim: requests due at fixed times, whatever became of earlier ones, and a latency counts from when its request was due (no
 * coordinated omission). First message: a VictimOrder, answered when it is connected and warm; then `{ begin }` opens a window and
 * `{ end }` closes it with a VictimReport.
 */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { Http1Clients } from '@mesh/bench/load/http1-clients';
import { Latencies } from '@mesh/bench/load/latencies';
import { systemClock as clock } from '@mesh/clock/system';
import type { VictimOrder, VictimReport } from './messages.ts';

const mostInWindow = 200_000;
/** An answer that comes later than this is none. */
const longestMs = 2000;
const warmUpMs = 1500;

class Victim {
  readonly #clients: Http1Clients;
  readonly #periodMs: number;
  /** Due times of requests without an answer. */
  readonly #underway: Set<number> = new Set();
  #latencies: Latencies = new Latencies(0);
  #failed = 0;
  #wakes = 0;
  /** When the pacer began, as far as its fastest wake while warming up shows: its clock is another thread's. */
  #startMs = Number.POSITIVE_INFINITY;

  constructor(order: VictimOrder) {
    this.#clients = new Http1Clients({ ...order, protocol: 'http1', path: '/victim', seconds: 0 });
    this.#periodMs = 1000 / order.rate;
    this.#clients.onAnswer = (dueMs, ok) => {
      if (!this.#underway.delete(dueMs)) return;
      const took = clock.now() - dueMs;
      if (ok && took <= longestMs) this.#latencies.add(took);
      else this.#failed++;
    };
  }

  async start(): Promise<void> {
    await this.#clients.connect();
    const pacer = new Worker(fileURLToPath(import.meta.resolve('@mesh/bench/load/pacer-worker')), {
      workerData: { periodMs: this.#periodMs, wakes: Number.POSITIVE_INFINITY },
    });
    pacer.on('message', () => this.#sendDue(clock.now()));
    await this.#pause(warmUpMs);
  }

  begin(): void {
    this.#latencies = new Latencies(mostInWindow);
    this.#failed = 0;
  }

  /** Waits for what is under way, but not for long. */
  async end(): Promise<VictimReport> {
    const last = clock.now();
    while ([...this.#underway].some((dueMs) => dueMs <= last) && clock.now() < last + longestMs) {
      await this.#pause(5);
    }
    for (const dueMs of this.#underway) {
      if (dueMs > clock.now() - longestMs) continue;
      this.#underway.delete(dueMs);
      this.#failed++;
    }
    return {
      served: this.#latencies.count,
      failed: this.#failed,
      latencyMs: this.#latencies.summary(),
    };
  }

  #sendDue(now: number): void {
    this.#wakes++;
    const sinceStart = this.#wakes * this.#periodMs;
    if (sinceStart <= warmUpMs) this.#startMs = Math.min(this.#startMs, now - sinceStart);
    const dueMs = this.#startMs + sinceStart;
    this.#underway.add(dueMs);
    this.#clients.send(dueMs);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void clock.after(ms, resolve));
  }
}

let victim: Victim | undefined;

async function onMessage(message: VictimOrder | { begin: true } | { end: true }): Promise<object> {
  if ('rate' in message) {
    victim = new Victim(message);
    await victim.start();
    return {};
  }
  if ('end' in message && victim !== undefined) return victim.end();
  victim?.begin();
  return {};
}

process.on('message', (message) => {
  void onMessage(message as Parameters<typeof onMessage>[0]).then((answer) => process.send?.(answer));
});
process.on('disconnect', () => process.exit(0));
