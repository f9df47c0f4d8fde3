/**
 * New connections as fast as they are served: each sends a byte, waits for the answer and closes; a fixed number at a time.
 * Argument: a DriverOrder as JSON; prints a LoadResult. The latency is from the dial to the answer.
 */
import { connect } from 'node:net';
import { systemClock as clock } from '@mesh/clock/system';
import type { DriverOrder } from './driver.ts';
import { Latencies } from './latencies.ts';
import type { LoadResult } from './load-result.ts';

const { host, port, connections, seconds } = JSON.parse(process.argv[2] ?? '') as DriverOrder;
const latencies = new Latencies(1_000_000);
const start = clock.now();
let failed = 0;
let open = 0;

function dial(): void {
  const dialled = clock.now();
  const socket = connect({ host, port, noDelay: true });
  let answered = false;
  open++;
  socket.setTimeout(10_000, () => socket.destroy());
  socket.on('error', () => {});
  socket.on('connect', () => socket.write('P'));
  socket.on('data', () => {
    answered = true;
    latencies.add(clock.now() - dialled);
    socket.end();
  });
  socket.on('close', () => {
    open--;
    if (!answered) failed++;
    if (clock.now() - start < seconds * 1000) dial();
    else if (open === 0) finish();
  });
}

function finish(): void {
  const result: LoadResult = {
    operations: latencies.count,
    failed,
    seconds: (clock.now() - start) / 1000,
    bytes: latencies.count,
    latencyMs: latencies.summary(),
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

for (let index = 0; index < connections; index++) dial();
