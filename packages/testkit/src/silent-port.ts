/** An address of this machine that never answers a connect, as behind a firewall that drops. */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import { Worker } from 'node:worker_threads';

/** Linux queues so many connections and one more for who does not accept any; it drops each SYN after those. */
const backlog = 1;

/** Resolves to its port on 127.0.0.1, until the test ends. */
export async function silentPort(test: TestContext): Promise<number> {
  // A worker that listens and then stands still: Node itself accepts whatever comes as soon as it can.
  const worker = new Worker(new URL('./silent-worker.ts', import.meta.url), { workerData: { backlog } });
  const [port] = (await once(worker, 'message')) as [number];
  const queued = Array.from({ length: backlog + 1 }, () => connect(port, '127.0.0.1'));
  test.after(async () => {
    for (const socket of queued) socket.destroy();
    await worker.terminate();
  });
  await Promise.all(queued.map((socket) => once(socket, 'connect')));
  return port;
}
