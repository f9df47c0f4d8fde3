/**
 * The workers of a gateway, as the primary has them: forked, told what they need, replaced when they die, drained.
 *
 * Connections are accepted by the primary and dealt in turn (`node:cluster`, round robin). The kernel's ways were tried:
 * of 32 connections that stay, four workers got 8 each in turn, 3 to 12 by SO_REUSEPORT, 1 to 16 by a shared socket; and
 * what waits in the queue of a worker that dies is lost. Connections of gateways are few, long and carry much.
 */
import cluster, { type Worker } from 'node:cluster';
import { backoffMs, type Clock, type Random, type Timer } from '@mesh/clock/clock';
import type { RunningStream } from '@mesh/control-api/grpc-client';
import type { LimitLedger } from '@mesh/limits/limits';
import type { MetricsPage, Readiness } from '@mesh/dataplane/admin-server';
import type { Logger } from '@mesh/telemetry/log';
import { type MetricSnapshot, mergeSnapshot, takeSnapshot } from '@mesh/telemetry/metric-snapshot';
import { type Counter, type Family, type Gauge, MetricRegistry } from '@mesh/telemetry/metrics';
import type { CredentialStore } from '@mesh/trust/credentials';
import { DepartedCounts } from './departed-counts.ts';
import type { GatewayLimit } from './limits.ts';
import type { StreamRelay } from './stream-relay.ts';
import {
  sendCredentials,
  type ToPrimary,
  type ToWorker,
  workersVariable,
  workerVariable,
  type WorkerState,
} from './worker-messages.ts';

const restart = { baseMs: 100, capMs: 10_000, jitter: 0.2 };
/** A worker that was ready this long has proven itself: its death does not make the pause before the next longer. */
const steadyMs = 10_000;
const checkMs = 1000;
const forgetEveryMs = 60_000;
/** Beyond the grace period, for workers to end by themselves. */
const stopSlackMs = 1000;

export interface WorkerPoolOptions {
  clock: Clock;
  random: Random;
  log: Logger;
  /** Of the primary; the page adds what workers counted. */
  registry: MetricRegistry;
  credentials: CredentialStore;
  relay: StreamRelay;
  limits: LimitLedger<GatewayLimit>;
  workers: number;
  graceMs: number;
}

/** One of the places that a worker process fills. */
interface Slot {
  readonly number: number;
  process: Worker | undefined;
  state: WorkerState;
  readonly streams: Map<number, RunningStream>;
  metrics: MetricSnapshot;
  heardAt: number;
  /** It has started: from now on it speaks each second. */
  spoke: boolean;
  readySince: number | undefined;
  failures: number;
  restart: Timer | undefined;
  hung: boolean;
}

/** Why a slot has no process any more; `fork`: the system gave it none. */
type EndCause = 'exit' | 'signal' | 'silent' | 'fork';

const unknownState: WorkerState = { ready: false, reason: 'starting', port: 0, connections: 0 };

export class WorkerPool implements MetricsPage {
  readonly #options: WorkerPoolOptions;
  readonly #slots: Slot[] = [];
  readonly #departed: DepartedCounts = new DepartedCounts();
  #forgotAt = 0;
  readonly #exits: Family<Counter>;
  readonly #connections: Family<Gauge>;
  readonly #unsubscribe: () => void;
  #checker: Timer | undefined;
  #checkedAt = 0;
  #stopping = false;
  /** Called after each message and each exit. */
  readonly #observers: Set<() => void> = new Set();
  #collecting: Promise<void> | undefined;
  readonly #collected: Set<Slot> = new Set();

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    const { registry, credentials } = options;
    const states = registry.gauge('gateway_workers', 'Processes that serve peers: wanted, running, ready.');
    this.#exits = registry.counter(
      'gateway_worker_exits_total',
      'Workers that ended unasked, by cause: exit, signal, silent, or fork for one that the system did not let start.',
    );
    this.#connections = registry.gauge('gateway_worker_connections', 'Open connections of peers by worker.');
    registry.onCollect(() => {
      states.with({ state: 'wanted' }).set(options.workers);
      states.with({ state: 'running' }).set(this.#count(({ process }) => process !== undefined));
      states.with({ state: 'ready' }).set(this.#count(({ state }) => state.ready));
      for (const { number, state } of this.#slots) {
        this.#connections.with({ worker: String(number) }).set(state.connections);
      }
    });
    this.#unsubscribe = credentials.onChange(() => {
      for (const slot of this.#slots) this.#sendCredentials(slot);
    });
  }

  /** Resolves with the port once every worker listens. */
  async start(): Promise<number> {
    const { clock, workers } = this.#options;
    // Metrics hold typed arrays, the key and messages are bytes: JSON would make text of them.
    cluster.setupPrimary({ serialization: 'advanced' });
    this.#checkedAt = clock.now();
    this.#checker = clock.every(checkMs, () => this.#check(), true);
    for (let number = 1; number <= workers; number++) {
      const slot: Slot = {
        number,
        process: undefined,
        state: unknownState,
        streams: new Map(),
        metrics: [],
        heardAt: 0,
        spoke: false,
        readySince: undefined,
        failures: 0,
        restart: undefined,
        hung: false,
      };
      this.#slots.push(slot);
      this.#fork(slot);
    }
    await this.#until(() => this.#slots.every(({ state }) => state.port > 0) || this.#stopping);
    return this.#slots[0]?.state.port ?? 0;
  }

  /** At least half of the workers are; a replacement takes a moment and the others serve meanwhile. */
  ready(): Readiness {
    if (this.#stopping) return { ready: false, reason: 'stopping' };
    const ready = this.#count(({ state }) => state.ready);
    const { workers } = this.#options;
    const missing = this.#slots.find(({ state }) => !state.ready);
    return {
      ready: ready * 2 >= workers,
      reason: `${ready} of ${workers} workers are ready; ${missing?.state.reason ?? ''}`,
    };
  }

  /** The page of primary and workers together. */
  async render(): Promise<string> {
    await this.#collect();
    const { registry } = this.#options;
    const merged = new MetricRegistry();
    mergeSnapshot(merged, takeSnapshot(registry));
    mergeSnapshot(merged, takeSnapshot(this.#departed.registry));
    for (const { metrics } of this.#slots) mergeSnapshot(merged, metrics);
    return merged.render();
  }

  /** Drains all workers; those that outstay the grace period are killed. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const { clock, graceMs, log } = this.#options;
    this.#unsubscribe();
    this.#checker?.cancel();
    for (const slot of this.#slots) {
      slot.restart?.cancel();
      this.#send(slot, { kind: 'drain' });
    }
    const kill = clock.after(graceMs + stopSlackMs, () => {
      for (const { number, process } of this.#slots) {
        if (process === undefined) continue;
        log.warn('worker did not stop in time', { worker: number });
        process.process.kill('SIGKILL');
      }
    });
    await this.#until(() => this.#slots.every(({ process }) => process === undefined));
    kill.cancel();
  }

  #fork(slot: Slot): void {
    const { clock, log, workers } = this.#options;
    slot.state = unknownState;
    slot.heardAt = clock.now();
    slot.spoke = false;
    slot.readySince = undefined;
    slot.hung = false;
    let process: Worker;
    try {
      process = cluster.fork({
        [workerVariable]: String(slot.number),
        [workersVariable]: String(workers),
      });
    } catch (thrown) {
      // Node throws some faults of the system (ENOMEM) and emits others (EAGAIN, EMFILE).
      this.#ended(slot, 'fork', thrown instanceof Error ? thrown.message : String(thrown));
      return;
    }
    slot.process = process;
    const { pid } = process.process;
    process.on('error', ({ message }) => {
      if (pid !== undefined || slot.process !== process) {
        log.warn('worker failed', { worker: slot.number, detail: message });
        return;
      }
      // What never ran has no exit; and if it got no channel either (EMFILE), Node would list it for ever.
      delete cluster.workers?.[process.id];
      this.#ended(slot, 'fork', message);
    });
    if (pid === undefined) return;
    log.info('worker started', { worker: slot.number, pid });
    process.on('message', (message: ToPrimary) => {
      if (slot.process === process) this.#receive(slot, message);
    });
    process.on('exit', (code, signal: string | null) => {
      const cause = slot.hung ? 'silent' : signal === null ? 'exit' : 'signal';
      this.#ended(slot, cause, signal ?? `exit code ${code}`);
    });
    this.#sendCredentials(slot);
  }

  /** `how`, for a person. */
  #ended(slot: Slot, cause: EndCause, how: string): void {
    const { clock, random, log } = this.#options;
    for (const stream of slot.streams.values()) stream.cancel();
    slot.streams.clear();
    slot.process = undefined;
    const what = cause === 'fork' ? 'could not be forked' : 'ended';
    slot.state = { ...unknownState, reason: `worker ${slot.number} ${what} (${how}) and is replaced` };
    this.#departed.keep(slot.metrics);
    slot.metrics = [];
    if (!this.#stopping) {
      this.#exits.with({ cause }).add();
      if (slot.readySince !== undefined && clock.now() - slot.readySince >= steadyMs) slot.failures = 0;
      const waitMs = backoffMs(slot.failures++, random, restart);
      log.error(`worker ${what}`, { worker: slot.number, how, replacedInMs: Math.round(waitMs) });
      slot.restart = clock.after(waitMs, () => this.#fork(slot));
    }
    this.#notify();
  }

  #receive(slot: Slot, message: ToPrimary): void {
    slot.heardAt = this.#options.clock.now();
    slot.spoke = true;
    switch (message.kind) {
      case 'watch':
        this.#watch(slot, message);
        break;
      case 'cancel':
        slot.streams.get(message.stream)?.cancel();
        slot.streams.delete(message.stream);
        break;
      case 'state':
        slot.state = message.state;
        if (message.state.ready) slot.readySince ??= slot.heardAt;
        break;
      case 'metrics':
        this.#departed.keepVanished(slot.metrics, message.metrics);
        slot.metrics = message.metrics;
        this.#collected.add(slot);
    }
    this.#notify();
  }

  #watch(slot: Slot, { stream, method, input }: Extract<ToPrimary, { kind: 'watch' }>): void {
    const running = this.#options.relay.follow(method, input, {
      onMessage: (bytes, first) => this.#send(slot, { kind: 'message', stream, bytes, first }),
      onInterrupted: (agoMs) => this.#send(slot, { kind: 'interrupted', stream, agoMs }),
      onRejected: ({ code, message }) => {
        slot.streams.delete(stream);
        this.#send(slot, { kind: 'rejected', stream, code, message });
      },
    });
    if (running !== undefined) slot.streams.set(stream, running);
  }

  #sendCredentials(slot: Slot): void {
    const { current } = this.#options.credentials;
    if (current !== undefined)
      this.#send(slot, { kind: 'credentials', credentials: sendCredentials(current) });
  }

  #send({ process }: Slot, message: ToWorker): void {
    // One that is about to die learns nothing; its exit is told by an event of its own.
    if (process?.isConnected() === true) process.process.send?.(message, () => {});
  }

  #check(): void {
    const { clock, log, limits } = this.#options;
    const now = clock.now();
    const stalledMs = now - this.#checkedAt - checkMs;
    this.#checkedAt = now;
    if (now - this.#forgotAt >= forgetEveryMs) {
      this.#forgotAt = now;
      this.#departed.forget(
        this.#slots.map(({ metrics }) => metrics),
        now,
      );
    }
    for (const slot of this.#slots) {
      // When this process stood still itself, what workers said meanwhile is still to be read.
      slot.heardAt += Math.max(0, stalledMs);
      if (slot.process === undefined) continue;
      const limit = slot.spoke ? 'gateway_worker_silence_ms' : 'gateway_worker_start_ms';
      if (now - slot.heardAt < limits.values[limit]) continue;
      limits.hit(limit);
      log.error('worker hangs', { worker: slot.number, silentMs: Math.round(now - slot.heardAt) });
      slot.hung = true;
      slot.process.process.kill('SIGKILL');
    }
  }

  /** Has the workers send their metrics; of those that do not in time the last ones stay. */
  #collect(): Promise<void> {
    this.#collecting ??= this.#gather().finally(() => {
      this.#collecting = undefined;
    });
    return this.#collecting;
  }

  async #gather(): Promise<void> {
    this.#collected.clear();
    for (const slot of this.#slots) this.#send(slot, { kind: 'collect' });
    let late = false;
    const { clock, limits } = this.#options;
    const timer = clock.after(limits.values.gateway_collect_ms, () => {
      limits.hit('gateway_collect_ms');
      late = true;
      this.#notify();
    });
    await this.#until(
      () => late || this.#slots.every((slot) => slot.process === undefined || this.#collected.has(slot)),
    );
    timer.cancel();
  }

  #count(which: (slot: Slot) => boolean): number {
    return this.#slots.filter(which).length;
  }

  #until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!holds()) return;
        this.#observers.delete(look);
        resolve();
      };
      this.#observers.add(look);
      look();
    });
  }

  #notify(): void {
    for (const look of this.#observers) look();
  }
}
