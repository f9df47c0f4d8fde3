/**
 * Receives as fast as it can, until the time is over, into one buffer that is used again and again. Argument: a DownloadOrder as JSON; prints a
 * LoadResult, without latencies.
 */
import { connect, type Socket } from 'node:net';
import { systemClock as clock } from '@mesh/clock/system';
import type { DownloadOrder } from './driver.ts';
import type { LoadResult } from './load-result.ts';

const { host, port, bodyBytes, connections, seconds } = JSON.parse(process.argv[2] ?? '') as DownloadOrder;
const request = bodyBytes === undefined ? 'S' : `GET /bytes/${bodyBytes} HTTP/1.1\r\nhost: ${host}\r\n\r\n`;
const start = clock.now();
let bytes = 0;
let closed = 0;
let failed = 0;

function finish(): void {
  const result: LoadResult = {
    operations: closed - failed,
    failed,
    seconds: (clock.now() - start) / 1000,
    bytes,
  };
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}

for (let index = 0; index < connections; index++) {
  let missing = bodyBytes ?? Number.POSITIVE_INFINITY;
  const buffer = Buffer.allocUnsafe(256 * 1024);
  const socket: Socket = connect({
    host,
    port,
    onread: {
      buffer,
      callback: (received) => {
        bytes += received;
        missing -= received;
        if (missing <= 0) socket.destroy();
        return missing > 0;
      },
    },
  });
  socket.on('error', () => failed++);
  socket.on('connect', () => socket.write(request));
  socket.on('close', () => {
    if (++closed === connections) finish();
  });
}
clock.after(seconds * 1000, () => {
  closed = connections;
  finish();
});
