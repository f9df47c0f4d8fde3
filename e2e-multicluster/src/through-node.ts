import { request } from 'node:http';
import { dialCluster } from '@mesh/node/control-client';

export interface Answer {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: string;
}

/** GET of `path` at an address inside a cluster's network. @throws when there is no whole answer within 15 s */
export async function getInside(
  controlSocket: string,
  { address, port, path }: { address: string; port: number; path: string },
): Promise<Answer> {
  const socket = await dialCluster(controlSocket, { address, port });
  return await new Promise((resolve, reject) => {
    const asked = request(
      {
        createConnection: () => socket,
        host: address,
        port,
        path,
        headers: { connection: 'close' },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString('utf8'),
          }),
        );
      },
    );
    socket.setTimeout(15_000, () => asked.destroy(new Error(`${address}:${port}${path} did not answer`)));
    // A connection through the node comes paused, and the parser only listens.
    asked.on('socket', () => socket.resume());
    asked.on('error', reject);
    asked.end();
  });
}
