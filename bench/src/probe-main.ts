/** Succeeds when the application answers; run inside a pod. Arguments: kind of traffic, host, port. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { GrpcClients } from './load/grpc-clients.ts';
import { grpcPath } from './load/grpc-message.ts';

const [traffic = '', host = '', port = ''] = process.argv.slice(2);
const abort = AbortSignal.timeout(2000);

async function answered(): Promise<boolean> {
  if (traffic === 'http') {
    const response = await fetch(`http://${host}:${port}/`, { signal: abort });
    const text = await response.text();
    if (!response.ok)
      throw new Error(`${response.status} ${response.headers.get('l5d-proxy-error') ?? ''} ${text}`);
    return text !== '';
  }
  if (traffic === 'tcp') {
    const socket = connect({ host, port: Number(port) });
    socket.write('P');
    const [chunk] = (await once(socket, 'data', { signal: abort })) as [Buffer];
    return chunk.toString() === 'P';
  }
  const clients = new GrpcClients({
    host,
    port: Number(port),
    path: grpcPath,
    protocol: 'grpc',
    connections: 1,
    seconds: 1,
    rate: 1,
  });
  await clients.connect();
  return await new Promise((resolve) => {
    clients.onAnswer = (_due, status) => resolve(status === 200);
    clients.send(0);
    abort.addEventListener('abort', () => resolve(false));
  });
}

try {
  process.exit((await answered()) ? 0 : 1);
} catch (thrown) {
  process.stderr.write(`${String(thrown)}\n`);
  process.exit(1);
}
