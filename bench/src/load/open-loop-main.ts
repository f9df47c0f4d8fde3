/**
 * Open-loop load: requests are due at fixed times, whatever the answers to earlier ones do, and a latency counts from when its
 * request was due. So a proxy that stalls is charged for all that came meanwhile (no coordinated omission).
 * With rate 0 a closed loop, to be held against wrk. Argument: an OpenLoopOrder as JSON; prints a LoadResult.
 */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { systemClock as clock } from '@mesh/clock/system';
import type { OpenLoopOrder } from './driver.ts';
import { GrpcClients } from './grpc-clients.ts';
import { Http1Clients } from './http1-clients.ts';
import { Latencies } from './latencies.ts';
import type { LoadResult } from './load-result.ts';
import type { LoadClients } from './load-clients.ts';

const order = JSON.parse(process.argv[2] ?? '') as OpenLoopOrder;
const { rate, seconds, connections, shedding = false } = order;

/** Shortest pause between wakes. What is due within one is sent together. */
const shortestPeriodMs = 0.25;
/** Of h2load's timers, libev's least with a margin. */
const h2loadPeriodMs = 10;
/** For those that are still under way at the end. */
const graceMs = 2000;

const capacity = rate === 0 ? 5_000_000 : Math.ceil(rate * seconds) + 1;
const latencies = new Latencies(capacity);
const shed = new Latencies(shedding ? capacity : 0);
const late = new Latencies(capacity);
let failed = 0;
let bytes = 0;
let underway = 0;
let warmedUp = 0;

const expected = (status: number): boolean => status === 200 || (shedding && status === 503);

function onAnswer(dueMs: number, status: number, received: number): void {
  underway--;
  if (status === 200) {
    latencies.add(clock.now() - dueMs);
    bytes += received;
  } else if (expected(status)) {
    shed.add(clock.now() - dueMs);
  } else {
    failed++;
  }
}

/** Until then the driver's own code is compiled and connections are new: such latencies are no one's. */
const warmUpMs = 1000;

function closedLoop(clients: LoadClients): void {
  const start = clock.now();
  const next = (): void => {
    underway++;
    clients.send(clock.now());
  };
  clients.onAnswer = (dueMs, status, received) => {
    onAnswer(dueMs, status, received);
    if (clock.now() - start < seconds * 1000) next();
    else if (underway === 0) finish((clock.now() - start) / 1000);
  };
  for (let client = 0; client < connections; client++) next();
}

/** As h2load, all connections at once: each has the same rate and the same start. */
function dueWith(request: number): number {
  return order.asH2load === true ? Math.ceil(request / connections) * connections : request;
}

function openLoop(clients: LoadClients): void {
  const total = Math.floor(rate * (seconds + warmUpMs / 1000));
  const periodMs = order.asH2load === true ? h2loadPeriodMs : Math.max(1000 / rate, shortestPeriodMs);
  const start = clock.now();
  clients.onAnswer = (dueMs, status, received) => {
    if (dueMs - start >= warmUpMs || !expected(status)) onAnswer(dueMs, status, received);
    else {
      underway--;
      warmedUp++;
    }
  };
  let sent = 0;
  const sendDue = (): void => {
    const now = clock.now();
    for (;;) {
      const due = start + (dueWith(sent + 1) * 1000) / rate;
      if (sent >= total || due > now) break;
      sent++;
      if (due - start >= warmUpMs) late.add(clock.now() - due);
      underway++;
      clients.send(due);
    }
  };
  const wakes = Math.ceil((seconds * 1000 + warmUpMs) / periodMs) + 4;
  const pacer = new Worker(join(import.meta.dirname, 'pacer-worker.ts'), { workerData: { periodMs, wakes } });
  pacer.on('message', sendDue);
  pacer.on('exit', () => {
    sendDue();
    const deadline = clock.now() + graceMs;
    const wait = clock.every(5, () => {
      if (underway > 0 && clock.now() < deadline) return;
      wait.cancel();
      finish(seconds);
    });
  });
}

/** wrk assumes that each connection meant to send at the mean of its intervals (`stats_correct` of its source). */
function asWrk(elapsedSeconds: number): Latencies {
  return latencies.corrected((elapsedSeconds * 1000 * connections) / latencies.count);
}

function finish(elapsedSeconds: number): void {
  const result: LoadResult = {
    operations: latencies.count,
    failed: failed + underway,
    warmUp: warmedUp,
    seconds: elapsedSeconds,
    bytes,
    latencyMs: (rate === 0 ? asWrk(elapsedSeconds) : latencies).summary(),
    ...(shedding ? { shed: { count: shed.count, latencyMs: shed.summary() } } : {}),
    ...(rate === 0 ? {} : { lateMs: late.summary() }),
  };
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}

function httpClients(): Http1Clients {
  const clients = new Http1Clients(order);
  if (order.asH2load === true) clients.countedFrom = clock.now;
  return clients;
}

const clients: LoadClients = order.protocol === 'http1' ? httpClients() : new GrpcClients(order);
await clients.connect();
if (rate === 0) closedLoop(clients);
else openLoop(clients);
