/** Who is refused, at a gateway and at a sidecar: from inside the network, with whatever certificate one can get. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { after, before, describe, test } from 'node:test';
import { createAnchor, createIssuer } from '@mesh/ca/authority';
import { issueCredentials } from '@mesh/ca/credentials';
import { readTrust, type TrustDirectory } from '@mesh/ca/files';
import { systemClock as clock } from '@mesh/clock/system';
import { multiclusterNamespace } from '@mesh/multicluster/link';
import { labels } from '@mesh/multicluster/names';
import { dialCluster } from '@mesh/node/control-client';
import { eventually } from '@mesh/testkit/eventually';
import type { Credentials } from '@mesh/trust/credentials';
import { gatewayIdentity, identityName } from '@mesh/trust/names';
import { Fleet, links, metric, patience, shop } from './fleet.ts';
import { echoProgram } from './test-programs.ts';

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
/** A SETTINGS frame without settings (RFC 9113, 6.5). */
const emptySettings = '\0\0\0\x04\0\0\0\0\0';
const cart = 'cart.shop.svc.cluster.local:80';

describe('refusals of a gateway and of a sidecar', () => {
  let fleet: Fleet;
  let trust: TrustDirectory;
  let address = '';
  before(async () => {
    fleet = await Fleet.linked('two');
    trust = await readTrust(fleet.trustDirectory('trust'));
    address = await fleet.gatewayAddress('west');
    await fleet.app('west', 'echo', {
      program: echoProgram,
      port: 8080,
      labels: { [labels.exported]: 'true' },
    });
    await fleet.app('west', 'guarded', {
      program: echoProgram,
      port: 8080,
      annotations: { 'mesh.io/default-inbound-policy': 'cluster-authenticated' },
    });
    await fleet.ready('west', 'echo');
    await eventually(
      'echo-west answers',
      async () => (await fleet.ask('east', 'http://echo-west/')).status === 200,
      patience,
    );
  });
  after(() => fleet?.end());

  const frontend = (cluster: string): string =>
    identityName({ serviceAccount: 'frontend', namespace: shop, cluster });

  /** A leaf for `identity` from an issuer for `issuedBy` under `anchor`. */
  function credentials(identity: string, issuedBy: string, { anchor } = trust): Credentials {
    const issuer = createIssuer({ anchor, cluster: issuedBy, clock });
    return issueCredentials({ issuer, anchorsPem: trust.anchorsPem, identity, clock });
  }

  const dial = (): Promise<Socket> =>
    dialCluster(fleet.cluster('east').controlSocket, { address, port: 4143 });

  async function tlsFrom(given: Credentials | undefined): Promise<TLSSocket> {
    return tlsOver(await dial(), { server: gatewayIdentity('west'), given, alpn: 'h2' });
  }

  function tlsOver(
    socket: Socket,
    { server, given, alpn }: { server: string; given: Credentials | undefined; alpn?: string },
  ): TLSSocket {
    const tls = connectTls({
      socket,
      servername: server,
      ca: [trust.anchorsPem],
      ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
      ...(given === undefined
        ? {}
        : { cert: given.chainPem, key: given.key.export({ type: 'pkcs8', format: 'pem' }) }),
    });
    tls.on('error', () => {});
    return tls;
  }

  /** Sends at once and gives what came back before the connection ended. */
  function untilClosed(socket: Socket, text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      let got = '';
      const timer = setTimeout(() => reject(new Error('the connection stays open')), 15_000);
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => (got += chunk.toString('latin1')));
      socket.on('end', () => socket.destroy());
      socket.on('close', () => {
        clearTimeout(timer);
        resolve(got);
      });
      socket.write(text);
      socket.resume();
    });
  }

  async function refusedConnections(reason: string): Promise<number> {
    return metric(await fleet.gatewayMetrics('west'), 'gateway_connections_refused_total', { reason });
  }

  async function refusedRequests(reason: string): Promise<number> {
    const of = { source_cluster: 'east', reason };
    return metric(await fleet.gatewayMetrics('west'), 'gateway_requests_refused_total', of);
  }

  async function seen(): Promise<string> {
    return (await fleet.get('west', { app: 'echo', port: 8080, path: '/seen' })).body;
  }

  const requests = async (): Promise<number> => (JSON.parse(await seen()) as { requests: number }).requests;

  const strangers: readonly [who: string, reason: string, open: () => Promise<Socket>][] = [
    ['a plaintext client', 'not-tls', dial],
    ['a client without a certificate', 'no-certificate', () => tlsFrom(undefined)],
    [
      'a client of another anchor',
      'foreign-anchor',
      () => {
        const anchor = createAnchor({ clock });
        return tlsFrom(credentials(frontend('east'), 'east', { anchor, anchorsPem: anchor.certificatePem }));
      },
    ],
    [
      "a leaf of another cluster's issuer",
      'outside-name-constraints',
      () => tlsFrom(credentials(frontend('east'), 'north')),
    ],
    ['a cluster that is not linked', 'peer-not-linked', () => tlsFrom(credentials(frontend('mars'), 'mars'))],
  ];
  for (const [who, reason, open] of strangers) {
    test(`${who} is refused as ${reason}, and nothing of it reaches the application`, async () => {
      const [before, count] = [await requests(), await refusedConnections(reason)];
      const text = reason === 'not-tls' ? `GET / HTTP/1.1\r\nhost: echo.shop\r\n\r\n` : preface;
      await untilClosed(await open(), text);
      await eventually('it is counted', async () => (await refusedConnections(reason)) === count + 1);
      assert.equal(await requests(), before);
    });
  }

  async function session(): Promise<ClientHttp2Session> {
    const socket = await tlsFrom(credentials(frontend('east'), 'east'));
    const made = connectHttp2('http://gateway', { createConnection: () => socket });
    made.on('error', () => {});
    return made;
  }

  function status(on: ClientHttp2Session, authority: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const stream = on.request({ ':path': '/', ':authority': authority, 'l5d-orig-proto': 'HTTP/1.1' });
      let got = 0;
      stream.on('response', (headers) => {
        got = Number(headers[':status']);
      });
      stream.on('error', reject);
      stream.on('close', () => resolve(got));
      stream.resume();
    });
  }

  test('a linked cluster reaches exports and nothing else', async () => {
    const on = await session();
    try {
      assert.equal(await status(on, 'echo.shop.svc.cluster.local:80'), 200);
      const count = await refusedRequests('not-exported');
      assert.equal(await status(on, cart), 404);
      assert.equal(await refusedRequests('not-exported'), count + 1);
      assert.equal(await status(on, 'mesh-identity.mesh.svc.cluster.local:8080'), 404);
      assert.equal(await status(on, 'echo.shop.svc.cluster.local:81'), 404);
      assert.equal(await refusedRequests('port-not-exported'), 1);
      assert.equal(await status(on, '10.2.0.1:8080'), 400);
      assert.equal(await refusedRequests('bad-authority'), 1);
      assert.equal(await status(on, 'federation.multicluster.mesh.io'), 403, 'only for mirror controllers');
      assert.equal(await refusedRequests('not-a-mirror'), 1);
    } finally {
      on.destroy();
    }
  });

  const guarded = identityName({ serviceAccount: 'guarded', namespace: shop, cluster: 'west' });

  /** A connection to the pod from inside its own cluster: to the application's port, or to the sidecar's own. */
  async function toPod(port: number): Promise<Socket> {
    const pod = await fleet.ready('west', 'guarded');
    return await dialCluster(fleet.cluster('west').controlSocket, {
      address: pod.status?.podIP ?? '',
      port,
    });
  }

  const tlsToPod = async (given: Credentials | undefined): Promise<TLSSocket> =>
    tlsOver(await toPod(8080), { server: guarded, given });

  /** What the application behind the sidecar got so far, as a pod of its cluster hears it. */
  const guardedSaw = async (): Promise<string> => (await fleet.ask('west', 'http://guarded/seen')).body;

  async function atSidecar(name: string, of: Record<string, string>): Promise<number> {
    return metric(await fleet.proxyMetrics('west', 'guarded'), name, of);
  }

  const get = 'GET /attack HTTP/1.1\r\nhost: guarded\r\nconnection: close\r\n\r\n';
  const inbound = { direction: 'inbound', target_port: '8080' };
  const tlsRefusal = (reason: string): [string, Record<string, string>] => [
    'mesh_tls_refused_total',
    { ...inbound, reason },
  ];
  const intruders: readonly [
    who: string,
    reason: string,
    counted: [name: string, labels: Record<string, string>],
    open: () => Promise<Socket>,
  ][] = [
    [
      'plaintext HTTP',
      'unauthenticated',
      ['inbound_http_authz_deny_total', { target_port: '8080', reason: 'unauthenticated' }],
      () => toPod(8080),
    ],
    [
      "plaintext on the sidecar's own port",
      'plaintext on a direct connection',
      ['inbound_tcp_errors_total', { error: 'plaintext on a direct connection' }],
      () => toPod(4143),
    ],
    ['TLS without a certificate', 'no-certificate', tlsRefusal('no-certificate'), () => tlsToPod(undefined)],
    [
      'a client of another anchor, through the peek path',
      'foreign-anchor',
      tlsRefusal('foreign-anchor'),
      () => {
        const anchor = createAnchor({ clock });
        const foreign = { anchor, anchorsPem: anchor.certificatePem };
        return tlsToPod(credentials(frontend('west'), 'west', foreign));
      },
    ],
    [
      "a leaf of another cluster's issuer",
      'outside-name-constraints',
      tlsRefusal('outside-name-constraints'),
      () => tlsToPod(credentials(frontend('west'), 'north')),
    ],
    [
      'a leaf of another domain',
      'unknown-domain',
      tlsRefusal('unknown-domain'),
      () => {
        const issuer = createIssuer({ anchor: trust.anchor, cluster: 'west', suffix: 'corp.example', clock });
        const identity = identityName({
          serviceAccount: 'frontend',
          namespace: shop,
          cluster: 'west',
          suffix: 'corp.example',
        });
        return tlsToPod(issueCredentials({ issuer, anchorsPem: trust.anchorsPem, identity, clock }));
      },
    ],
    [
      'a workload of a cluster that the policy does not allow',
      'foreign-cluster',
      ['inbound_http_authz_deny_total', { target_port: '8080', reason: 'foreign-cluster' }],
      () => tlsToPod(credentials(frontend('east'), 'east')),
    ],
  ];
  for (const [who, reason, [name, of], open] of intruders) {
    test(`sidecar: ${who} is refused as ${reason}, and nothing of it reaches the application`, async () => {
      const [saw, count] = [await guardedSaw(), await atSidecar(name, of)];
      const answer = await untilClosed(await open(), get);
      assert.doesNotMatch(answer, / 200 /);
      await eventually('it is counted', async () => (await atSidecar(name, of)) === count + 1);
      assert.equal(await guardedSaw(), saw);
    });
  }

  test('sidecar: bytes of no protocol are refused as unauthenticated; a neighbour is served', async () => {
    const denied = { target_port: '8080', reason: 'unauthenticated' };
    const count = await atSidecar('inbound_tcp_authz_deny_total', denied);
    assert.equal(await untilClosed(await toPod(8080), '\0\x01\x02\x03garbage'), '');
    await eventually(
      'it is counted',
      async () => (await atSidecar('inbound_tcp_authz_deny_total', denied)) === count + 1,
    );
    const neighbour = await tlsToPod(credentials(frontend('west'), 'west'));
    assert.match(await untilClosed(neighbour, get), /^HTTP\/1\.1 200 [^]*"l5d-client-id":"frontend\.shop\./);
  });

  test('pods of another cluster cannot be reached but through its gateway', async () => {
    const pod = await fleet.ready('west', 'echo');
    const address = pod.status?.podIP ?? '';
    await assert.rejects(
      dialCluster(fleet.cluster('east').controlSocket, { address, port: 8080 }),
      /refused|unreachable|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|timed? ?out|within/i,
    );
  });

  test('a link without allow closes the connections of the peer and refuses new ones', async () => {
    const idle = await tlsFrom(credentials(frontend('east'), 'east'));
    const welcome = once(idle, 'data');
    const closed = untilClosed(idle, preface + emptySettings);
    await welcome;
    const allow = async (value: boolean): Promise<void> => {
      const east = { namespace: multiclusterNamespace, name: 'east' };
      const body = { spec: { allow: value } };
      await fleet.kube('west').patch(links, east, { patch: { type: 'merge', body } });
    };
    await allow(false);
    await closed;
    const count = await refusedConnections('peer-not-allowed');
    await untilClosed(await tlsFrom(credentials(frontend('east'), 'east')), preface);
    await eventually('it is counted', async () => (await refusedConnections('peer-not-allowed')) > count);
    assert.notEqual((await fleet.ask('east', 'http://echo-west/')).status, 200);
    await allow(true);
    await eventually(
      'echo-west answers again',
      async () => (await fleet.ask('east', 'http://echo-west/')).status === 200,
      patience,
    );
  });
});
