/**
 * Attacks on HTTP/2 by a peer that the mesh knows: it has a certificate and speaks to a sidecar, behind which the
 * application counts what reaches it. Another peer is served all the while, by a connection of its own.
 */
import assert from 'node:assert/strict';
import { createServer as createHttp2Server, type ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { connectHttp2 } from '@mesh/http2/client';
import { errorCode } from '@mesh/http2/error-codes';
import { http2Limits } from '@mesh/http2/limits';
import { Attacker } from '@mesh/http2/testing/attacker';
import { requestHead, send } from '@mesh/http2/testing/exchange';
import {
  block,
  CONTINUATION,
  END_STREAM,
  frame,
  get,
  HEADERS,
  request,
  RST_STREAM,
  u32,
  WINDOW_UPDATE,
} from '@mesh/http2/testing/raw-peer';
import { LimitLedger } from '@mesh/limits/limits';
import { credentialsOf, newAnchor, startCluster, startProxy } from '@mesh/proxy/testing/mesh';
import { eventually } from '@mesh/testkit/eventually';
import { assertUnharmed, besideVictim } from '@mesh/testkit/victim';
import { dialTls } from '@mesh/trust/dial';
import { identityName } from '@mesh/trust/names';
import { listening } from '@mesh/testkit/servers';

const clock = systemClock;
const odd = (index: number): number => 2 * index + 1;
const slow = [...get.slice(0, 5), '/slow', ...get.slice(6)];

/** The application, and what it sees of attackers. */
class Application {
  /** Connections that the sidecar made to it. */
  dials = 0;
  requests = 0;
  running = 0;
  mostRunning = 0;
  port = 0;

  async start(t: TestContext): Promise<void> {
    const server = createHttp2Server({ settings: { maxConcurrentStreams: 1000 } });
    server.on('session', (session: ServerHttp2Session) => {
      this.dials += 1;
      session.on('error', () => {});
    });
    server.on('stream', (stream, headers) => {
      stream.on('error', () => {});
      if (headers[':path'] !== '/slow') {
        stream.respond({ ':status': 200 });
        stream.end('served');
        return;
      }
      this.requests += 1;
      this.running += 1;
      this.mostRunning = Math.max(this.mostRunning, this.running);
      stream.on('close', () => {
        this.running -= 1;
      });
    });
    this.port = await listening(t, server);
  }
}

interface Attack {
  what: string;
  run: (attacker: Attacker) => Promise<void>;
  /** Requests that may reach the application. */
  mostRequests: number;
}

const attacks: readonly Attack[] = [
  {
    what: 'H2-1: rapid reset',
    run: async (attacker) => {
      await attacker.flood(20_000, (index) =>
        Buffer.concat([request(odd(index), slow), frame(RST_STREAM, 0, odd(index), u32(8))]),
      );
    },
    mostRequests: 101,
  },
  {
    what: 'H2-2: MadeYouReset',
    run: async (attacker) => {
      await attacker.flood(10_000, (index) =>
        Buffer.concat([request(odd(index), slow), frame(WINDOW_UPDATE, 0, odd(index), u32(0))]),
      );
    },
    mostRequests: 10,
  },
  {
    what: 'H2-3: HTTP/2 bomb',
    run: async (attacker) => {
      const crumbs = Buffer.concat([block(...slow), Buffer.alloc(12_000, 0xa0)]);
      await attacker.flood(1000, (index) => frame(HEADERS, 5, odd(index), crumbs));
    },
    mostRequests: 0,
  },
  {
    what: 'H2-5: CONTINUATION flood',
    run: async (attacker) => {
      await attacker.send(frame(HEADERS, END_STREAM, 1, block(...slow)));
      await attacker.flood(100_000, () => frame(CONTINUATION, 0, 1, block('a', 'b')));
    },
    mostRequests: 0,
  },
  {
    what: 'H2-16: paths without a slash',
    run: async (attacker) => {
      await attacker.flood(1000, (index) =>
        request(odd(index), [...get.slice(0, 5), `slow${index}`, ...get.slice(6)]),
      );
    },
    mostRequests: 0,
  },
];

for (const { what, run, mostRequests } of attacks) {
  test(`against a sidecar: ${what}`, async (t) => {
    const application = new Application();
    await application.start(t);
    const trust = newAnchor();
    const sidecar = await startProxy(t, await startCluster(t, 'east', trust), { app: application.port });
    const dial = async (serviceAccount: string): Promise<Socket> => {
      const identity = identityName({ serviceAccount, namespace: 'shop', cluster: 'east' });
      const socket = await dialTls({
        host: '127.0.0.1',
        port: sidecar.ports.inbound,
        identity: sidecar.identity,
        alpn: [],
        credentials: credentialsOf(trust, identity, 'east'),
        clock,
        timeoutMs: 10_000,
      });
      t.after(() => socket.destroy());
      return socket;
    };
    const victim = connectHttp2(await dial('victim'), { clock, limits: new LimitLedger(http2Limits) });
    const attacker = await Attacker.over(await dial('attacker'));
    const report = await besideVictim(
      async () => {
        const answer = send(victim, requestHead('/'));
        await answer.done;
        assert.deepEqual([answer.head?.status, answer.body], [200, 'served']);
      },
      async () => {
        await run(attacker);
        await attacker.ended();
      },
    );
    assertUnharmed(report);
    const code = attacker.goawayCode;
    assert.ok(code === errorCode.enhanceYourCalm || code === errorCode.protocolError, `GOAWAY ${code}`);
    await eventually('what the attacker began is given up', () => application.running === 0);
    assert.ok(application.requests <= mostRequests, `${application.requests} requests`);
    assert.ok(application.mostRunning <= 100 && application.dials <= 10, `${application.dials} connections`);
  });
}
