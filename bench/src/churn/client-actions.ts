/** What the clients of the churn do: some behave, some do not. */
import { Agent, type ClientRequest, type IncomingMessage, request as requestHttp1 } from 'node:http';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
} from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import type { Clock, Random } from '@mesh/clock/clock';
import type { ClientTarget, Protocol } from './service-churn.ts';

export const largestBody = 1024 * 1024;

/** @returns '' for what should have happened, or what happened */
type Run = (target: ClientTarget, clients: Clients) => Promise<string>;

export interface Action {
  readonly name: string;
  readonly protocol: Protocol;
  /** How often, relative to the others. */
  readonly weight: number;
  readonly run: Run;
}

const answerWithinMs = 30_000;
/** A slow reader takes a chunk and waits so long. */
const slowReadMs = 250;
const slowReads = 40;
const keepAliveMs = 20_000;

/** Connections that requests share, as clients share them. */
export class Clients {
  readonly clock: Clock;
  readonly random: Random;
  readonly agent: Agent = new Agent({ keepAlive: true, maxFreeSockets: 4, timeout: keepAliveMs });
  readonly #sessions: Map<string, ClientHttp2Session> = new Map();

  constructor(clock: Clock, random: Random) {
    this.clock = clock;
    this.random = random;
  }

  /** Shared by those that come within a while; its time over, it ends when its streams have. */
  session({ host, port }: ClientTarget): ClientHttp2Session {
    const key = `${host}:${port}`;
    const known = this.#sessions.get(key);
    if (known !== undefined && !known.closed && !known.destroyed) return known;
    const session = newSession(host, port);
    this.#sessions.set(key, session);
    const end = this.clock.after(keepAliveMs * (0.5 + this.random.next()), () => session.close(), true);
    session.on('close', () => {
      end.cancel();
      if (this.#sessions.get(key) === session) this.#sessions.delete(key);
    });
    return session;
  }

  /** Most bodies are small, few large: log-uniform up to 32 KiB, one in twenty up to 1 MiB. */
  bodySize(): number {
    const largest = this.random.next() < 0.05 ? largestBody : 32 * 1024;
    return Math.floor(largest ** this.random.next());
  }
}

function newSession(host: string, port: number): ClientHttp2Session {
  const session = connectHttp2(`http://${host}:${port}`);
  session.on('error', () => {});
  return session;
}

const body = Buffer.alloc(largestBody, 'y');

/** Resolves once; what is still open after a while is ended and counts as not answered. */
function within(
  clients: Clients,
  begin: (done: (outcome: string) => void) => { destroy(): void },
): Promise<string> {
  return new Promise((resolve) => {
    const late = clients.clock.after(answerWithinMs, () => {
      resolve(`no end within ${answerWithinMs} ms`);
      begun.destroy();
    });
    const begun = begin((outcome) => {
      late.cancel();
      resolve(outcome);
    });
  });
}

function outcome(status: number | undefined, reason: unknown, received: number, expected: number): string {
  if (status !== 200) return `${status} ${String(reason ?? '')}`.trim();
  return received === expected ? '' : `${received} of ${expected} bytes`;
}

interface Http1Options {
  readonly agent: Agent | false;
  /** Of a POST; undefined: a GET. */
  readonly upload?: number;
}

/** On a connection that was kept, and ended just then. */
const metTheEnd = 'the connection ended before the request reached anyone';

/** As clients do: what met the end of a kept connection is sent again, on a new one. */
async function http1(target: ClientTarget, clients: Clients, options: Http1Options): Promise<string> {
  const outcome = await http1Once(target, clients, options);
  return outcome === metTheEnd ? http1Once(target, clients, { ...options, agent: false }) : outcome;
}

function http1Once(target: ClientTarget, clients: Clients, options: Http1Options): Promise<string> {
  const { upload } = options;
  const size = clients.bodySize();
  const path = upload === undefined ? `/bytes/${size}` : '/count';
  return within(clients, (done) => {
    const request = ask1(target, path, options);
    request.on('response', (response) => {
      let [received, text] = [0, ''];
      response.on('data', (chunk: Buffer) => {
        received += chunk.length;
        if (upload !== undefined) text += chunk.toString('latin1');
      });
      response.on('end', () => {
        const { statusCode, headers } = response;
        const wanted = upload === undefined ? size : upload;
        done(
          outcome(
            statusCode,
            headers['l5d-proxy-error'],
            upload === undefined ? received : Number(text),
            wanted,
          ),
        );
      });
      response.on('error', (error) => done(error.message));
    });
    request.on('error', (error) => done(request.reusedSocket ? metTheEnd : error.message));
    request.end(upload === undefined ? undefined : body.subarray(0, upload));
    return request;
  });
}

function ask1({ host, port }: ClientTarget, path: string, { agent, upload }: Http1Options): ClientRequest {
  return requestHttp1({
    host,
    port,
    path,
    agent,
    ...(upload === undefined ? {} : { method: 'POST', headers: { 'content-length': upload } }),
  });
}

function http2(session: ClientHttp2Session, clients: Clients, upload?: number): Promise<string> {
  const size = clients.bodySize();
  return within(clients, (done) => {
    const stream = session.request(
      upload === undefined ? { ':path': `/bytes/${size}` } : { ':path': '/count', ':method': 'POST' },
      { endStream: upload === undefined },
    );
    let [received, text] = [0, ''];
    let status: number | undefined;
    let reason: unknown;
    stream.on('response', (headers) => {
      status = headers[':status'];
      reason = headers['l5d-proxy-error'];
    });
    stream.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (upload !== undefined) text += chunk.toString('latin1');
    });
    stream.on('error', (error) => done(error.message));
    stream.on('close', () =>
      done(outcome(status, reason, upload === undefined ? received : Number(text), upload ?? size)),
    );
    if (upload !== undefined) stream.end(body.subarray(0, upload));
    return stream;
  });
}

/** Sends, ends its half, and gets all of it back. */
function echo({ host, port }: ClientTarget, clients: Clients): Promise<string> {
  const size = 1 + clients.bodySize();
  return within(clients, (done) => {
    const socket = connectTcp({ host, port, allowHalfOpen: true });
    let received = 0;
    socket.on('data', (chunk) => (received += chunk.length));
    socket.on('error', (error) => done(error.message));
    socket.on('close', () => done(received === size ? '' : `${received} of ${size} bytes`));
    socket.on('end', () => socket.destroy());
    socket.end(body.subarray(0, size));
    return socket;
  });
}

/** Of those that go away, whatever becomes of them is right. */
const gone = (stream: Socket | ClientRequest | ClientHttp2Stream | ClientHttp2Session): void => {
  stream.on('error', () => {});
};

/** Ends by FIN or by RST. */
function leave(socket: Socket, random: Random): void {
  if (random.next() < 0.5) socket.resetAndDestroy();
  else socket.destroy();
}

/** Goes away in the middle of its own body. */
const vanishSending: Run = ({ host, port }, { clock, random }) =>
  new Promise((resolve) => {
    const socket = connectTcp({ host, port });
    gone(socket);
    socket.on('close', () => resolve(''));
    socket.write(`POST /count HTTP/1.1\r\nhost: ${host}\r\ncontent-length: ${largestBody}\r\n\r\n`);
    socket.write(body.subarray(0, random.next() * 200_000));
    clock.after(random.next() * 200, () => leave(socket, random));
  });

/** Goes away in the middle of the answer's body. */
const vanishReceiving: Run = ({ host, port }, { clock, random }) =>
  new Promise((resolve) => {
    const socket = connectTcp({ host, port });
    gone(socket);
    socket.on('close', () => resolve(''));
    socket.once('data', () => leave(socket, random));
    clock.after(answerWithinMs, () => socket.destroy(), true);
    socket.write(`GET /bytes/${largestBody} HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
  });

const vanishHttp2: Run = ({ host, port }, { clock, random }) =>
  new Promise((resolve) => {
    const session = newSession(host, port);
    session.on('close', () => resolve(''));
    for (let stream = 0; stream < 3; stream++) gone(session.request({ ':path': `/bytes/${largestBody}` }));
    clock.after(random.next() * 200, () => session.destroy());
  });

const cancelHttp2: Run = (target, clients) =>
  new Promise((resolve) => {
    const stream = clients.session(target).request({ ':path': `/bytes/${largestBody}` });
    gone(stream);
    stream.once('data', () => stream.close(constants.NGHTTP2_CANCEL));
    stream.on('close', () => resolve(''));
  });

/** Reads a little, waits, reads a little; half of them leave before the end. */
const readSlowly: Run = ({ host, port }, { clock, random }) =>
  new Promise((resolve) => {
    const request = requestHttp1({ host, port, path: `/bytes/${largestBody}`, agent: false });
    gone(request);
    request.on('close', () => resolve(''));
    request.on('response', (response: IncomingMessage) => {
      response.on('error', () => {});
      let reads = slowReads * (0.5 + random.next());
      const timer = clock.every(slowReadMs, () => {
        response.read(16 * 1024);
        if (--reads > 0 && !response.destroyed) return;
        timer.cancel();
        if (random.next() < 0.5) response.destroy();
        else response.resume();
      });
    });
    request.end();
  });

/** Connects and says nothing, or half of a head, for a while. */
const saysNothing: Run = ({ host, port }, { clock, random }) =>
  new Promise((resolve) => {
    const socket = connectTcp({ host, port });
    gone(socket);
    socket.on('close', () => resolve(''));
    if (random.next() < 0.5) socket.write('GET / HTTP/1.1\r\nhost: c');
    clock.after(random.next() * 5000, () => leave(socket, random));
  });

/** The application fails halfway through its answer. */
const broken: Run = ({ host, port }) =>
  new Promise((resolve) => {
    const request = requestHttp1({ host, port, path: '/break', agent: false });
    request.on('error', () => resolve(''));
    request.on('response', (response) => {
      response.on('error', () => resolve(''));
      response.on('end', () => resolve(response.statusCode === 200 ? 'a broken answer looks whole' : ''));
      response.resume();
    });
    request.end();
  });

/** Opens a connection for three streams. */
const http2Once: Run = async ({ host, port }, clients) => {
  const session = newSession(host, port);
  const outcomes = await Promise.all(Array.from({ length: 3 }, () => http2(session, clients)));
  session.close();
  return outcomes.find((one) => one !== '') ?? '';
};

export const actions: readonly Action[] = [
  {
    name: 'get, kept connection',
    protocol: 'http1',
    weight: 36,
    run: (target, clients) => http1(target, clients, { agent: clients.agent }),
  },
  {
    name: 'get, new connection',
    protocol: 'http1',
    weight: 12,
    run: (target, clients) => http1(target, clients, { agent: false }),
  },
  {
    name: 'post',
    protocol: 'http1',
    weight: 10,
    run: (target, clients) => http1(target, clients, { agent: false, upload: clients.bodySize() }),
  },
  {
    name: 'HTTP/2 get',
    protocol: 'http2',
    weight: 14,
    run: (target, clients) => http2(clients.session(target), clients),
  },
  {
    name: 'HTTP/2 post',
    protocol: 'http2',
    weight: 6,
    run: (target, clients) => http2(clients.session(target), clients, clients.bodySize()),
  },
  { name: 'HTTP/2, new connection', protocol: 'http2', weight: 4, run: http2Once },
  { name: 'opaque TCP', protocol: 'tcp', weight: 10, run: echo },
  { name: 'leaves while sending', protocol: 'http1', weight: 1.5, run: vanishSending },
  { name: 'leaves while receiving', protocol: 'http1', weight: 1.5, run: vanishReceiving },
  { name: 'HTTP/2: leaves', protocol: 'http2', weight: 1, run: vanishHttp2 },
  { name: 'HTTP/2: cancels', protocol: 'http2', weight: 1, run: cancelHttp2 },
  { name: 'reads slowly', protocol: 'http1', weight: 1, run: readSlowly },
  { name: 'says nothing', protocol: 'http1', weight: 1, run: saysNothing },
  { name: 'opaque TCP: says nothing', protocol: 'tcp', weight: 0.5, run: saysNothing },
  { name: 'application fails halfway', protocol: 'http1', weight: 0.5, run: broken },
];
