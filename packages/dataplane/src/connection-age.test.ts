/** How long a dialled connection is used: an hour, and never longer than either certificate. */
import assert from 'node:assert/strict';
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
import { listen } from '@mesh/testkit/servers';
import { TlsAcceptor } from '@mesh/trust/accept';
import { CredentialStore } from '@mesh/trust/credentials';
import { identityName } from '@mesh/trust/names';
import { SocketConnector } from './connector.ts';
import { Discard } from './discard.ts';
import { dataplaneLimits } from './limits.ts';
import { defaultCodecs } from './peer.ts';
import { PeerPool } from './peer-pool.ts';

const minute = 60_000;
const server = identityName({ serviceAccount: 'cart', namespace: 'shop', cluster: 'east' });
const client = identityName({ serviceAccount: 'frontend', namespace: 'shop', cluster: 'east' });

async function connect(test: TestContext, lifetimes: { server: number; client: number }) {
  const clock = new FakeClock(Date.now());
  const anchor = createAnchor({ clock });
  const issuer = createIssuer({ anchor, cluster: 'east', clock });
  const store = (identity: string, lifetimeMs: number): CredentialStore =>
    new CredentialStore(
      issueCredentials({ issuer, anchorsPem: anchor.certificatePem, identity, clock, lifetimeMs }),
    );
  const acceptor = new TlsAcceptor({ credentials: store(server, lifetimes.server), clock, alpn: [] });
  const streams: ServerStream[] = [];
  let dialled = 0;
  const { port } = await listen(test, (socket) => {
    dialled++;
    acceptor.accept(socket, (result) => {
      if ('refused' in result) return;
      serveHttp2(
        result.socket,
        {
          onRequest(stream) {
            streams.push(stream);
            return new Discard(stream);
          },
          onClose() {},
        },
        { clock: systemClock, limits: new LimitLedger(http2Limits) },
      );
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
      timeoutMs: 5000,
    }),
    limits,
    ...defaultCodecs(),
  });
  test.after(() => {
    peers.close();
    acceptor.close();
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
    /** Connections that were tried: under an expired certificate none is made. */
    dialled: () => dialled,
    async request(): Promise<void> {
      const before = streams.length;
      peer.h2.submit({ onConnection: send, onConnectFailed: () => answers.push(0) });
      await eventually('the request arrived', () => streams.length > before);
    },
    answer(): void {
      for (const stream of streams.splice(0)) stream.respond({ status: 200, headers: [] }, true);
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

for (const [what, lifetimes, usedFor] of [
  ['an hour', { server: 1440 * minute, client: 1440 * minute }, 60],
  ["the server's certificate", { server: 10 * minute, client: 1440 * minute }, 10],
  ['our own certificate', { server: 1440 * minute, client: 20 * minute }, 20],
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
