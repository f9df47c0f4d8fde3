/**
 * Wakes the thread that started it at a steady pace. Node's own timers have steps of 1 ms; a futex that times out has not.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock as clock } from '@mesh/clock/system';

/** Milliseconds between wakes, and how many. */
const { periodMs, wakes } = workerData as { readonly periodMs: number; readonly wakes: number };
const never = new Int32Array(new SharedArrayBuffer(4));
const start = clock.now();
for (let wake = 1; wake <= wakes; wake++) {
  const wait = start + wake * periodMs - clock.now();
  if (wait > 0) Atomics.wait(never, 0, 0, wait);
  parentPort?.postMessage(0, []);
}
