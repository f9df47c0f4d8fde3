/** How long a dialled connection is used: an hour or, for opaque bytes, without end; and never longer than either certificate. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { createAnchor, createIssuer } from '@mesh/ca/authority';
import { issueCredentials } from '@mesh/ca/credentials';
import { seededRandom } from '@mesh/clock/seeded';
import { systemClock } from '@mesh/clock/system';
import type { ClientConnection, ServerStream } from '@mesh/http/message';
import { http2Limits } from '@mesh/http2/limits';
import { serveHttp2 } from '@mesh/http2/server';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { dialTcp, listen } from '@mesh/testkit/servers';
import { TlsAcceptor } from '@mesh/trust/accept';
import { CredentialStore } from '@mesh/trust/credentials';
import { identityName } from '@mesh/trust/names';
import { silentLogger } from '@mesh/telemetry/log';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { SocketConnector } from './connector.ts';
import { EndpointPool } from './endpoint-pool.ts';
import { HttpMetrics } from './http-metrics.ts';
import { Discard } from './discard.ts';
import { dataplaneLimits } from './limits.ts';
import { defaultCodecs } from './peer.ts';
import { OpaqueExpiry } from './opaque-expiry.ts';
import { PeerPool } from './peer-pool.ts';
import { forwardTcp } from './tcp-forwarder.ts';
import { spec } from './testing/forwarding-rig.ts';

const minute = 60_000;
const server = identityName({ serviceAccount: 'cart', namespace: 'shop', cluster: 'east' });
const client = identityName({ serviceAccount: 'frontend', namespace: 'shop', cluster: 'east' });

interface Lifetimes {
  readonly server: number;
  readonly client: number;
}

/** A server with one certificate, and the peers of a program with another. */
async function proven(test: TestContext, lifetimes: Lifetimes, serve: (socket: Socket) => void) {
  const clock = new FakeClock(Date.now());
  const anchor = createAnchor({ clock });
  const issuer = createIssuer({ anchor, cluster: 'east', clock });
  const store = (identity: string, lifetimeMs: number): CredentialStore =>
    new CredentialStore(
      issueCredentials({ issuer, anchorsPem: anchor.certificatePem, identity, clock, lifetimeMs }),
    );
  const acceptor = new TlsAcceptor({ credentials: store(server, lifetimes.server), clock, alpn: [] });
  let dialled = 0;
  const { port } = await listen(test, (socket) => {
    dialled++;
    acceptor.accept(socket, (result) => {
      if (!('refused' in result)) serve(result.socket);
    });
  });
  const limits = new LimitLedger(dataplaneLimits);
  const peers = new PeerPool({
    clock,
    random: seededRandom(1),
    connector: new SocketConnector({
      clock,
      credentials: store(client, lifetimes.client),
      suffix: 'mesh.local',
      limits: new LimitLedger(dataplaneLimits, { connect_ms: 5000 }),
    }),
    limits,
    ...defaultCodecs(),
  });
  test.after(() => {
    peers.close();
    acceptor.close();
  });
  return {
    clock,
    limits,
    peers,
    port,
    /** Connections that were tried: under an expired certificate none is made. */
    dialled: () => dialled,
  };
}

async function connect(test: TestContext, lifetimes: Lifetimes, serverIdleMs?: number) {
  const streams: ServerStream[] = [];
  const { clock, dialled, peers, port } = await proven(test, lifetimes, (socket) => {
    serveHttp2(
      socket,
      {
        onRequest(stream) {
          streams.push(stream);
          return new Discard(stream);
        },
        onClose() {},
      },
      serverIdleMs === undefined
        ? { clock: systemClock, limits: new LimitLedger(http2Limits) }
        : { clock, limits: new LimitLedger(http2Limits, { http2_idle_ms: serverIdleMs }) },
    );
  });
  const peer = peers.hold({ host: '127.0.0.1', port, identity: server, gateway: false });
  const answers: number[] = [];
  const send = (connection: ClientConnection): void => {
    connection.request(
      { method: 'GET', scheme: 'http', authority: 'cart', path: '/', headers: [], upgrade: '', version: 20 },
      true,
      {
        onInform() {},
        onResponse: ({ status }) => answers.push(status),
        onData() {},
        onEnd() {},
        onReset: () => answers.push(0),
        onDrain() {},
      },
    );
  };
  return {
    answers,
    streams,
    dialled,
    async request(): Promise<void> {
      const before = streams.length;
      peer.h2.submit({ onConnection: send, onConnectFailed: () => answers.push(0) });
      await eventually('the request arrived', () => streams.length > before);
    },
    answer(): void {
      for (const stream of streams.splice(0)) stream.respond({ status: 200, headers: [] }, true);
    },
    /** The endpoint is no longer one. */
    release(): void {
      peers.release(peer);
    },
    /** While nothing is in flight. */
    rest(ms: number): void {
      clock.advance(ms);
    },
    /** In small steps, so that the PINGs of a busy connection are answered in time. */
    async pass(ms: number): Promise<void> {
      for (let passed = 0; passed < ms; passed += 100) {
        clock.advance(100);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    },
  };
}

const long: Lifetimes = { server: 1440 * minute, client: 1440 * minute };

for (const [what, lifetimes, usedFor] of [
  ['an hour', { server: 1440 * minute, client: 1440 * minute }, 60],
  ["the server's certificate", { server: 10 * minute, client: 1440 * minute }, 9],
  ['our own certificate', { server: 1440 * minute, client: 20 * minute }, 18],
] as const) {
  test(`a connection lasts no longer than ${what}, and ends when what is in flight has`, async (t) => {
    const { answers, answer, dialled, pass, request, rest } = await connect(t, lifetimes);
    await request();
    answer();
    await eventually('answered', () => answers.length === 1);
    rest(usedFor * minute - 3000);
    await request();
    assert.equal(dialled(), 1);
    await pass(5000);
    request().catch(() => {});
    await eventually('the next request goes over a new connection', () => dialled() === 2);
    answer();
    await eventually('what was in flight is answered on the old one', () => answers.includes(200, 1));
  });
}

test('what is in flight to an endpoint that was removed ends with the certificate, too', async (t) => {
  const { answers, answer, pass, release, request, rest } = await connect(t, { ...long, server: minute });
  await request();
  answer();
  await eventually('answered', () => answers.length === 1);
  rest(53_000);
  await request();
  release();
  await pass(6000);
  assert.deepEqual(answers, [200]);
  await pass(2000);
  await eventually('it is cut', () => answers.length === 2);
  assert.deepEqual(answers, [200, 0]);
});

test('a server that ends an idle connection costs no request, also not one that crosses its GOAWAY', async (t) => {
  const { answers, answer, dialled, request, rest } = await connect(t, long, 5 * minute);
  for (let round = 1; round <= 5; round++) {
    await request();
    answer();
    await eventually('answered', () => answers.length === 2 * round - 1);
    rest(5 * minute);
    // The server's GOAWAY is not read yet.
    await request();
    answer();
    await eventually('the one that crossed is answered', () => answers.length === 2 * round);
  }
  assert.deepEqual(
    answers,
    Array.from({ length: 10 }, () => 200),
  );
  assert.equal(dialled(), 5, 'each time over a new connection');
});

for (const [what, lifetimes, usedFor] of [
  ["the server's certificate", { server: 120 * minute, client: 1440 * minute }, 120],
  ['our own certificate', { server: 1440 * minute, client: 240 * minute }, 240],
] as const) {
  test(`an opaque connection outlasts an hour, but not ${what}`, async (t) => {
    let far: Socket | undefined;
    const { clock, limits, peers, port } = await proven(t, lifetimes, (socket) => {
      far = socket;
      socket.on('data', (chunk: Buffer) => socket.write(chunk)).on('end', () => socket.end());
    });
    const registry = new MetricRegistry();
    const metrics = new HttpMetrics(registry);
    const pool = new EndpointPool({
      name: 'db:5432',
      peers,
      limits,
      failfast: 'failfast_outbound_ms',
      cells: () => metrics.cells({}),
    });
    pool.apply([spec(port, { identity: server, protocol: 'opaque' })], { replace: true });
    const expiry = new OpaqueExpiry({ clock, log: silentLogger, registry, limits });
    const front = await listen(t, (socket) => {
      const clientUntil = Number.POSITIVE_INFINITY;
      forwardTcp(socket, { clock, pool, peers, expiry, clientUntil, onClose() {} });
    });
    t.after(() => pool.close());
    const socket = await dialTcp(t, front.port);
    const echo = async (word: string): Promise<void> => {
      socket.write(word);
      assert.equal(String((await once(socket, 'data'))[0]), word);
    };
    await echo('hello');
    // The last ten minutes of a certificate are for ending connections.
    clock.advance((usedFor - 11) * minute);
    await echo('still here');
    clock.advance(minute);
    // A download says nothing from here.
    for (let second = 0; second < 20; second++) {
      far?.write('more');
      assert.equal(String((await once(socket, 'data'))[0]), 'more');
      clock.advance(1000);
    }
    assert.doesNotMatch(registry.render(), /^mesh_opaque_expired_total\{/m, 'it is not quiet');
    const ended = once(socket, 'end');
    clock.advance(minute);
    await ended;
    assert.match(registry.render(), /^mesh_opaque_expired_total\{moment="quiet"\} 1$/m);
  });
}
