/**
 * The attacks of testing/http1-attacks.ts against the forwarding path: beside the end of the attacker, what it makes this process
 * hold, and that a victim on a connection of its own is served all the while. What latency the victim has is for
 * `npm run endurance -- attacks`.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  Agent,
  createServer,
  type IncomingMessage,
  request as httpRequest,
  type ServerResponse,
} from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { RequestHead } from '@mesh/http/message';
import type { Http1LimitName } from '@mesh/http1/limits';
import type { AttackSite } from '@mesh/testkit/attack';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { ClientSockets, dialTcp, listen, listening } from '@mesh/testkit/servers';
import { retainedBytes } from '@mesh/testkit/retained-bytes';
import { assertUnharmed, besideVictim } from '@mesh/testkit/victim';
import { restoreOriginal } from './l5d-headers.ts';
import { serveBadly } from './testing/bad-backends.ts';
import { rig, type Rig, type RigOptions, spec } from './testing/forwarding-rig.ts';
import { downgrades, http1Attacks, slowReader, slowSenders } from './testing/http1-attacks.ts';

/** The application of testing/http1-attacks.ts. */
class Application {
  /** Requests of others than the victim that came whole, and the trailers of the last one. */
  requests = 0;
  trailers: NodeJS.Dict<string> = {};
  /** Of `/endless`. */
  written = 0;

  readonly serve = (request: IncomingMessage, response: ServerResponse): void => {
    request.resume();
    request.on('end', () => {
      const { url: path = '', trailers } = request;
      if (!path.startsWith('/victim/')) this.requests++;
      this.trailers = { ...trailers };
      if (path === '/endless') this.#pour(response);
      else response.end(Object.keys(trailers).length === 0 ? path : JSON.stringify(trailers));
    });
  };

  #pour(response: ServerResponse): void {
    const piece = Buffer.alloc(64 * 1024);
    const more = (): void => {
      // For a proxy that would take everything.
      do this.written += piece.length;
      while (response.write(piece) && this.written < 64 * 1024 * 1024);
    };
    response.on('drain', more);
    more();
  }
}

/** A proxy, and what stands behind it. */
class Stage implements AttackSite {
  readonly longestPassMs = Number.POSITIVE_INFINITY;
  readonly scale = 1;
  readonly proxy: Rig;
  readonly clock: FakeClock;
  readonly #counted: () => number;
  readonly #sockets: ClientSockets;
  #markedBytes = 0;

  constructor(context: TestContext, proxy: Rig, clock: FakeClock, counted: () => number) {
    this.proxy = proxy;
    this.clock = clock;
    this.#counted = counted;
    this.#sockets = new ClientSockets(context);
  }

  connect(): Promise<Socket> {
    return this.#sockets.connect(this.proxy.port);
  }

  connectPlain(): Promise<Socket> {
    return this.connect();
  }

  async requests(): Promise<number> {
    return this.#counted();
  }

  async hits(limit: string): Promise<number> {
    return this.proxy.codecs.http1Limits.hits(limit as Http1LimitName);
  }

  async pass(ms: number): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.clock.advance(ms);
  }

  mark(): void {
    this.#markedBytes = retainedBytes();
  }

  /** Buffers let go of are swept on other threads, a moment after the collection. */
  async holdsAtMost(most: number): Promise<void> {
    await eventually(`${most} bytes are not passed`, () => retainedBytes() - this.#markedBytes <= most);
  }

  async open(): Promise<number> {
    return this.#sockets.size;
  }
}

interface Staged {
  readonly stage: Stage;
  readonly application: Application;
}

/** A proxy before the application. */
async function staged(context: TestContext, options: RigOptions = {}): Promise<Staged> {
  const application = new Application();
  const port = await listening(context, createServer(application.serve));
  const clock = new FakeClock();
  const proxy = await rig(context, options);
  proxy.pool.apply([spec(port)], { replace: true });
  return { stage: new Stage(context, proxy, clock, () => application.requests), application };
}

/** GET of a path of its own; the answer must be the path. */
function victimOf(context: TestContext, port: number): () => Promise<void> {
  const agent = new Agent({ keepAlive: true });
  context.after(() => agent.destroy());
  let count = 0;
  return async () => {
    const path = `/victim/${count++}`;
    const sent = httpRequest({ host: '127.0.0.1', port, agent, path, headers: { host: 'a' } });
    sent.end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    let body = '';
    for await (const chunk of response) body += String(chunk);
    assert.equal(`${response.statusCode} ${body}`, `200 ${path}`);
  };
}

/** Runs the attack beside a victim at 200 requests/s. */
async function attackBeside(context: TestContext, port: number, run: () => Promise<void>): Promise<void> {
  assertUnharmed(await besideVictim(victimOf(context, port), run, { ratePerSecond: 200 }));
}

test('every attack of the survey is here', () => {
  assert.deepEqual(
    http1Attacks.map(({ id }) => id),
    Array.from({ length: 14 }, (_, index) => `H1-${index + 1}`),
  );
});

/** Those whose proxy, application or clock is another; they are below. */
const apart = new Set(['H1-11', 'H1-12', 'H1-13']);

for (const { id, what, run } of http1Attacks) {
  if (apart.has(id)) continue;
  test(`${id}: ${what}`, async (context) => {
    const { stage } = await staged(context);
    await attackBeside(context, stage.proxy.port, () => run(stage));
  });
}

test('H1-5: no chunk extension goes on', async (context) => {
  let wire = '';
  const { port } = await listen(context, (socket) => {
    socket.on('data', (chunk: Buffer) => {
      wire += chunk.toString('latin1');
      if (wire.endsWith('0\r\n\r\n')) socket.write('HTTP/1.1 204 No Content\r\n\r\n');
    });
  });
  const proxy = await rig(context);
  proxy.pool.apply([spec(port)], { replace: true });
  const socket = await dialTcp(context, proxy.port);
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
  socket.write(
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a="b";c\r\nhello\r\n0;d\r\n\r\n',
  );
  await eventually('answered', () => answer.startsWith('HTTP/1.1 204 '));
  assert.equal(
    wire,
    'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  );
});

test('H1-9: what may not come behind a body does not, over HTTP/2', async (context) => {
  const { stage, application } = await staged(context, { serves: 'http2', onRequest: restore });
  const session = connectHttp2(`http://127.0.0.1:${stage.proxy.port}`);
  context.after(() => session.destroy());
  for (const name of [
    'authorization',
    'content-type',
    'content-encoding',
    'set-cookie',
    'l5d-client-id',
    'cookie',
  ]) {
    const stream = session.request({ ':method': 'POST', ':path': '/', ':authority': 'a' }, {
      waitForTrailers: true,
    } as object);
    stream.on('wantTrailers', () => stream.sendTrailers({ [name]: 'evil', x: '1' }));
    stream.end('x');
    await once(stream, 'response');
    stream.resume();
    await once(stream, 'end');
    assert.deepEqual(application.trailers, { x: '1' }, name);
  }
});

/** As a sidecar does with HTTP/1 that was carried inside HTTP/2. */
function restore(head: RequestHead): void {
  restoreOriginal(head, { version: 11, absolute: false, text: '' });
}

test('H1-11: what HTTP/2 becomes in HTTP/1, byte by byte', async (context) => {
  let wire = '';
  let requests = 0;
  const { port } = await listen(context, (socket) => {
    socket.on('data', (chunk: Buffer) => {
      wire += chunk.toString('latin1');
      requests++;
      socket.write('HTTP/1.1 204 No Content\r\n\r\n');
    });
  });
  const proxy = await rig(context, { serves: 'http2', onRequest: restore });
  proxy.pool.apply([spec(port)], { replace: true });
  const stage = new Stage(context, proxy, new FakeClock(), () => requests);
  const victims = await staged(context);
  await attackBeside(context, victims.stage.proxy.port, () =>
    downgrades(stage, (bad) => {
      const sent = wire;
      wire = '';
      requests = 0;
      if (typeof bad === 'string') {
        assert.ok(bad === '' || !sent.includes(bad), sent);
        return;
      }
      const all = sent.split('\r\n\r\n').filter((text) => text !== '');
      assert.ok(all.length <= 2, `${JSON.stringify(bad)} became ${sent}`);
      for (const request of all) {
        assert.match(
          request,
          /^GET \/(?:good)? HTTP\/1\.1\r\nhost: (?:a|test\.local)(?:\r\n[a-z0-9-]+: [^\r\n]*)*$/,
        );
        assert.ok(!/smuggled|x: y|transfer-encoding|\r\nconnection: (?!te)/.test(request), sent);
      }
    }),
  );
});

test('H1-12: slow heads and slow bodies hold little, and not for long', async (context) => {
  const clock = new FakeClock();
  let asked = 0;
  const proxy = await rig(context, { clock, onRequest: () => asked++ });
  const { port } = await listen(context, () => {});
  proxy.pool.apply([spec(port)], { replace: true });
  const stage = new Stage(context, proxy, clock, () => 0);
  const victims = await staged(context);
  await attackBeside(context, victims.stage.proxy.port, () => slowSenders(stage));
  assert.equal(asked, 150);
});

test('H1-12: a reader that takes nothing bounds what is read for it, and is left', async (context) => {
  const clock = new FakeClock();
  const { stage, application } = await staged(context, { clock });
  const slow = new Stage(context, stage.proxy, clock, () => 0);
  const victims = await staged(context);
  let last = -1;
  const stopped = async (): Promise<void> => {
    const still = (): boolean => {
      const same = application.written === last && application.written > 0;
      last = application.written;
      return same;
    };
    await eventually('the application is stopped', still, { intervalMs: 100 });
    assert.ok(last < 32 * 1024 * 1024, `${last} bytes were taken from the application`);
  };
  await attackBeside(context, victims.stage.proxy.port, () => slowReader(slow, stopped));
});

test('H1-13: what a bad server says reaches nobody but who asked', async (context) => {
  const { port } = await listen(context, serveBadly);
  const proxy = await rig(context);
  proxy.pool.apply([spec(port)], { replace: true });
  const stage = new Stage(context, proxy, new FakeClock(), () => 0);
  // Everybody shares the server and its connections with the attacker.
  const others = Array.from({ length: 8 }, async () => {
    const request = victimOf(context, proxy.port);
    for (let count = 0; count < 125; count++) await request();
  });
  const attack = http1Attacks.find(({ id }) => id === 'H1-13');
  await attackBeside(context, proxy.port, async () => {
    await attack?.run(stage);
    await Promise.all(others);
  });
});
