/** Certificates and trust anchors change while requests pass, and none of them fails. */
import assert from 'node:assert/strict';
import { Agent, request as httpRequest } from 'node:http';
import { test, type TestContext } from 'node:test';
import { createAnchor, createIssuer } from '@mesh/ca/authority';
import { issueCredentials } from '@mesh/ca/credentials';
import { systemClock as clock } from '@mesh/clock/system';
import { eventually } from '@mesh/testkit/eventually';
import { CredentialStore } from '@mesh/trust/credentials';
import { dialTls } from '@mesh/trust/dial';
import { startApp, startCluster, startProxy, type TestProxy, workload } from './testing/mesh.ts';

/** Asks through `caller` without a pause until it is stopped. */
function startLoad(test: TestContext, caller: TestProxy) {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  test.after(() => {
    state.running = false;
    agent.destroy();
  });
  const failed: string[] = [];
  let answered = 0;
  const state = { running: true };
  const ask = (): Promise<void> =>
    new Promise((resolve) => {
      const request = httpRequest(
        { host: '127.0.0.1', port: caller.ports.outbound, agent, headers: { host: 'cart.shop' } },
        (response) => {
          if (response.statusCode === 200) answered++;
          else failed.push(`${response.statusCode} ${response.headers['l5d-proxy-error']}`);
          response.resume().on('end', resolve);
        },
      );
      request.on('error', (fault) => {
        failed.push(fault.message);
        resolve();
      });
      request.end();
    });
  const loops = Array.from({ length: 8 }, async () => {
    while (state.running) await ask();
  });
  return {
    failed,
    answered: () => answered,
    async stop(): Promise<void> {
      state.running = false;
      await Promise.all(loops);
    },
  };
}

async function startPair(test: TestContext) {
  const cluster = await startCluster(test);
  const app = await startApp(test);
  const server = await startProxy(test, cluster, { serviceAccount: 'cart', app: app.http1 });
  const caller = await startProxy(test, cluster);
  cluster.destination.service('10.0.0.1:80', 'cart.shop.svc.cluster.local', [
    { port: server.ports.inbound, identity: server.identity },
  ]);
  return { cluster, server, caller };
}

const counted = async (proxy: TestProxy, line: RegExp): Promise<number> =>
  Number(line.exec(await proxy.metrics())?.[1] ?? 0);
const anchors = (proxy: TestProxy): Promise<number> => counted(proxy, /^mesh_trust_anchors (\d+)$/m);
const renewals = (proxy: TestProxy): Promise<number> =>
  counted(proxy, /^identity_cert_refresh_count\{result="success"\} (\d+)$/m);

test('trust moves to another anchor while requests pass; both sidecars run on', async (t) => {
  const { cluster, server, caller } = await startPair(t);
  const { anchor } = cluster.trust;
  const next = createAnchor({ clock });
  const nextIssuer = createIssuer({ anchor: next, cluster: cluster.name, clock });
  const both = anchor.certificatePem + next.certificatePem;
  /** Whether `server` believes a client of the new anchor, and proves itself to one that knows no other. */
  const handshake = async (): Promise<void> => {
    const socket = await dialTls({
      host: '127.0.0.1',
      port: server.ports.inbound,
      identity: server.identity,
      alpn: [],
      credentials: new CredentialStore(
        issueCredentials({
          issuer: nextIssuer,
          anchorsPem: next.certificatePem,
          identity: workload('frontend', cluster.name),
          clock,
        }),
      ),
      clock,
      timeoutMs: 2000,
    });
    socket.on('error', () => {});
    socket.destroy();
  };
  await assert.rejects(handshake());
  const load = startLoad(t, caller);

  cluster.identity.rotate({ anchorsPem: both });
  for (const proxy of [server, caller])
    await eventually('two anchors', async () => (await anchors(proxy)) === 2);
  const before = await Promise.all([server, caller].map(renewals));
  cluster.identity.rotate({ issuer: nextIssuer, anchorsPem: next.certificatePem });
  for (const [index, proxy] of [server, caller].entries()) {
    await eventually(
      'a certificate of the new anchor',
      async () => (await renewals(proxy)) === (before[index] ?? 0) + 1,
    );
  }
  await handshake();
  const sofar = load.answered();
  await eventually('the load goes on', () => load.answered() > sofar + 100);
  await load.stop();
  assert.deepEqual(load.failed, []);
});

test('certificates of seconds: renewed and connections replaced in time, and no request fails', async (t) => {
  const { cluster, server, caller } = await startPair(t);
  cluster.identity.rotate({ lifetimeMs: 3000 });
  // Dropping and adding an anchor has both ask for a certificate, from now on one that lives for seconds.
  const next = createAnchor({ clock });
  const nextIssuer = createIssuer({ anchor: next, cluster: cluster.name, clock });
  cluster.identity.rotate({ anchorsPem: cluster.trust.anchor.certificatePem + next.certificatePem });
  for (const proxy of [server, caller])
    await eventually('two anchors', async () => (await anchors(proxy)) === 2);
  cluster.identity.rotate({ issuer: nextIssuer, anchorsPem: next.certificatePem });
  for (const proxy of [server, caller]) await eventually('renewed', async () => (await renewals(proxy)) >= 2);
  const load = startLoad(t, caller);
  const opened = /^tcp_open_total\{direction="inbound",peer="src",tls="true"[^}]*\} (\d+)$/m;
  await eventually('connections were replaced twice', async () => (await counted(server, opened)) >= 3, {
    timeoutMs: 20_000,
    intervalMs: 100,
  });
  await load.stop();
  assert.deepEqual(load.failed, []);
});

test('a certificate that could not be renewed in time is told of on the page of readiness', async (t) => {
  const cluster = await startCluster(t);
  cluster.identity.rotate({ lifetimeMs: 3000 });
  const { proxy } = await startProxy(t, cluster);
  assert.equal(proxy.ready().note, '');
  cluster.identity.rotate({ answersAfterMs: 60_000 });
  const told = /^the certificate expired: no certificate: /;
  await eventually('it is told', () => told.test(proxy.ready().note ?? ''), { timeoutMs: 20_000 });
});
