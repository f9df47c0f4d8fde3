/** What the shop's HTTP programs share: answer JSON, say who answered, stop cleanly. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

/** Where this copy runs; both come from the pod's environment. */
export const here = {
  cluster: process.env['CLUSTER'] ?? 'unknown',
  pod: process.env['POD_NAME'] ?? 'unknown',
};

export type Answer = { status?: number; body: unknown; headers?: Record<string, string> };
type Handler = (request: IncomingMessage) => Promise<Answer> | Answer;

/** Serves `routes` ("GET /items") on PORT (default 8080) until SIGTERM. */
export function serve(routes: Readonly<Record<string, Handler>>): void {
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0];
    const handler = routes[`${request.method} ${path}`];
    if (handler === undefined) {
      send(response, { status: 404, body: { error: `no ${request.method} ${path} here` } });
      return;
    }
    Promise.resolve(handler(request)).then(
      (answer) => send(response, answer),
      (failure: unknown) => send(response, { status: 500, body: { error: String(failure) } }),
    );
  });
  server.keepAliveTimeout = 60_000;
  server.listen(Number(process.env['PORT'] ?? 8080));
  process.once('SIGTERM', () => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  });
}

function send(response: ServerResponse, { status = 200, body, headers = {} }: Answer): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    'x-cluster': here.cluster,
    'x-pod': here.pod,
    ...headers,
  });
  response.end(`${JSON.stringify(body)}\n`);
}

/** The request's body as JSON; at most 64 KiB. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > 65_536) throw new Error('the body is larger than 64 KiB');
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8'));
}
