/** A worker that listens on a free port, says which, and never runs again. */
import { type AddressInfo, createServer } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

const { backlog } = workerData as { backlog: number };
const server = createServer();
server.listen({ host: '127.0.0.1', port: 0, backlog }, () => {
  parentPort?.postMessage((server.address() as AddressInfo).port, []);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
