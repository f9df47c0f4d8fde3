/** Runs inside a network namespace where 10.96.0.7:80 is redirected to port 4140; prints what the sockets say. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type OriginalDestination, originalDestination } from '../original-destination.ts';

async function ask(listenOn: string, host: string, port: number): Promise<OriginalDestination | null> {
  const server = createServer();
  server.listen(4140, listenOn);
  await once(server, 'listening');
  const client = connect({ host, port });
  const [accepted] = (await once(server, 'connection')) as [Socket];
  const found = originalDestination(accepted) ?? null;
  client.destroy();
  accepted.destroy();
  server.close();
  await once(server, 'close');
  return found;
}

process.stdout.write(
  JSON.stringify({
    redirected: await ask('0.0.0.0', '10.96.0.7', 80),
    overIpv6Socket: await ask('::', '10.96.0.7', 80),
    direct: await ask('127.0.0.1', '127.0.0.1', 4140),
  }),
);
