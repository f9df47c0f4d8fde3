import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { test, type TestContext } from 'node:test';
import { fromBinary, toBinary, create } from '@bufbuild/protobuf';
import { Client, credentials as grpcCredentials, Metadata, Server, ServerCredentials } from '@grpc/grpc-js';
import { createIssuer } from '@mesh/ca/authority';
import { issueCredentials } from '@mesh/ca/credentials';
import { systemClock as clock } from '@mesh/clock/system';
import { EventSchema, SubscribeRequestSchema } from '@mesh/control-api/gen/mesh/federation/v1/federation_pb';
import { eventually } from '@mesh/testkit/eventually';
import { assertNoLeaks } from '@mesh/testkit/leaks';
import { encodeTransportHeader, transportHeaderAlpn } from '@mesh/transport/transport-header';
import { CredentialStore } from '@mesh/trust/credentials';
import { dialTls, TlsDialError } from '@mesh/trust/dial';
import { gatewayIdentity, mirrorIdentity } from '@mesh/trust/names';
import { ask, dial, frontend, session } from './testing/peer-client.ts';
import {
  cart,
  startMeshedPod,
  startPlainPod,
  startWest,
  type TestWest,
  TestTrust,
  workload,
} from './testing/test-west.ts';

/** REFUSED_STREAM (RFC 9113, 7): the request was not processed. */
const refusedStream = 7;

const closed = (socket: TLSSocket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.destroyed) resolve();
    socket.on('close', () => resolve());
    socket.resume();
  });

async function assertMetric(west: TestWest, line: RegExp): Promise<void> {
  await eventually(`the metric ${line}`, async () => line.test(await west.metrics()));
}

test('HTTP/1 carried over HTTP/2 reaches a pod without a sidecar as HTTP/1, with its true caller', async (t) => {
  assertNoLeaks(t);
  const west = await startWest(t);
  const pod = await startPlainPod(t);
  west.endpoints([{ port: pod.port }]);
  const answer = await ask(
    await session(t, west),
    {
      ':path': '/items?q=1',
      ':method': 'POST',
      'l5d-orig-proto': 'HTTP/1.1',
      'l5d-client-id': 'forged.shop.serviceaccount.identity.mesh.west.mesh.local',
      'l5d-anything': 'forged',
    },
    'x'.repeat(100_000),
  );
  assert.equal(answer.status, 200, JSON.stringify(answer.headers));
  assert.equal(answer.body, 'plain /items?q=1');
  assert.equal(answer.headers['l5d-orig-proto'], 'HTTP/1.1');
  const [seen] = pod.seen;
  assert.equal(seen?.version, '1.1');
  assert.equal(seen?.body.length, 100_000);
  assert.equal(seen?.headers['host'], cart);
  assert.equal(seen?.headers['l5d-client-id'], frontend);
  assert.equal(seen?.headers['l5d-cluster-path'], 'west');
  assert.equal(seen?.headers['l5d-anything'], undefined);
  assert.equal(seen?.headers['l5d-orig-proto'], undefined);
  assert.deepEqual(west.asked, [cart]);
  await assertMetric(west, /^request_total\{[^}]*source_cluster="east"[^}]*target_service="cart"[^}]*\} 1$/m);
  await assertMetric(west, /^gateway_connections\{source_cluster="east"\} 1$/m);
});

test('a pod with a sidecar gets HTTP/2 under mutual TLS from the gateway, with the caller stamped', async (t) => {
  const west = await startWest(t);
  const pod = await startMeshedPod(t, west.trust, workload('cart', 'west'));
  west.endpoints([{ port: pod.port, identity: workload('cart', 'west') }]);
  const answer = await ask(await session(t, west), {
    'l5d-orig-proto': 'HTTP/1.1',
    'l5d-cluster-path': 'north',
  });
  assert.equal(answer.body, 'meshed');
  assert.deepEqual(pod.peers, [gatewayIdentity('west')]);
  assert.equal(pod.seen[0]?.headers['l5d-client-id'], frontend);
  assert.equal(pod.seen[0]?.headers['l5d-cluster-path'], 'north,west');
  assert.equal(pod.seen[0]?.headers['l5d-orig-proto'], 'HTTP/1.1');
});

test('a pod that proves another identity than its own gets nothing', async (t) => {
  const west = await startWest(t);
  const pod = await startMeshedPod(t, west.trust, workload('payments', 'west'));
  west.endpoints([{ port: pod.port, identity: workload('cart', 'west') }]);
  const { status, reset } = await ask(await session(t, west));
  assert.deepEqual({ status, reset }, { status: 0, reset: refusedStream }, 'the caller may ask elsewhere');
  assert.equal(pod.seen.length, 0);
});

const refusals: readonly [what: string, headers: Record<string, string>, status: number, reason: string][] = [
  [
    'a service that is not exported',
    { ':authority': 'catalog.shop.svc.cluster.local:80' },
    404,
    'not-exported',
  ],
  [
    'a port that is not exported',
    { ':authority': 'cart.shop.svc.cluster.local:81' },
    404,
    'port-not-exported',
  ],
  [
    "another cluster's export",
    { ':authority': 'ledger.shop.svc.cluster.local:80' },
    403,
    'cluster-not-allowed',
  ],
  ['an address', { ':authority': '10.2.0.7:80' }, 400, 'bad-authority'],
  ['a request that passed this cluster', { 'l5d-cluster-path': 'north,west' }, 508, 'loop'],
  ['a request that passed too many clusters', { 'l5d-cluster-path': 'a,b,c,d,e,f,g,h' }, 508, 'loop'],
  [
    'the federation API for a workload',
    { ':authority': 'federation.multicluster.mesh.io' },
    403,
    'not-a-mirror',
  ],
];

test('what is not allowed is refused by name and counted, and reaches nobody', async (t) => {
  const west = await startWest(t);
  const pod = await startPlainPod(t);
  west.endpoints([{ port: pod.port }]);
  const east = await session(t, west);
  const counts = new Map<string, number>();
  for (const [what, headers, status, reason] of refusals) {
    const answer = await ask(east, headers);
    assert.equal(answer.status, status, what);
    assert.notEqual(answer.headers['l5d-proxy-error'], undefined, what);
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  for (const [reason, count] of counts) {
    await assertMetric(
      west,
      new RegExp(
        `^gateway_requests_refused_total\\{source_cluster="east",reason="${reason}"\\} ${count}$`,
        'm',
      ),
    );
  }
  assert.equal(pod.connections(), 0);
  assert.equal((await ask(east)).status, 200, 'the connection lives on');
});

test('a refused gRPC call gets a gRPC status', async (t) => {
  const west = await startWest(t);
  const answer = await ask(
    await session(t, west),
    {
      ':method': 'POST',
      ':authority': 'ratings.shop.svc.cluster.local:80',
      'content-type': 'application/grpc',
    },
    'x'.repeat(50_000),
  );
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['grpc-status'], '5');
  assert.match(decodeURIComponent(String(answer.headers['grpc-message'])), /not exported/);
});

test('strangers reach nobody: not one byte of theirs is read by a pod', async (t) => {
  const west = await startWest(t);
  const pod = await startPlainPod(t);
  west.endpoints([{ port: pod.port }]);
  const stolen = { issuer: createIssuer({ anchor: west.trust.anchor, cluster: 'north', clock }) };
  const anchorsPem = west.trust.anchor.certificatePem;
  const foreign = new TestTrust().credentials(frontend).current;
  assert.ok(foreign !== undefined);
  const strangers: readonly [credentials: CredentialStore | undefined, reasons: RegExp][] = [
    // It believes the gateway, because it was told our anchor, but the gateway does not believe it.
    [new CredentialStore({ ...foreign, anchorsPem: foreign.anchorsPem + anchorsPem }), /^foreign-anchor$/],
    // North's issuer speaks for east.
    [
      new CredentialStore(issueCredentials({ ...stolen, anchorsPem, identity: frontend, clock })),
      /^outside-name-constraints$/,
    ],
    [west.trust.credentials(workload('frontend', 'south')), /^peer-not-allowed$/],
    [west.trust.credentials(workload('frontend', 'mars')), /^peer-not-linked$/],
    // A gateway is for other clusters: its own has no Link to itself.
    [west.trust.credentials(workload('frontend', 'west')), /^peer-not-linked$/],
    [undefined, /^no-certificate$/],
  ];
  for (const [credentials, reason] of strangers) {
    const before = reasonsOf(await west.metrics());
    const bytes = `GET / HTTP/1.1\r\nhost: ${cart}\r\n\r\n`;
    if (credentials === undefined) {
      const socket = connectTls({
        host: '127.0.0.1',
        port: west.port,
        servername: west.identity,
        rejectUnauthorized: false,
      });
      socket.on('error', () => {});
      socket.write(bytes);
      await closed(socket);
    } else {
      try {
        const socket = await dialTls({
          host: '127.0.0.1',
          port: west.port,
          identity: west.identity,
          alpn: ['h2'],
          credentials,
          clock,
          timeoutMs: 2000,
        });
        socket.on('error', () => {});
        socket.write(bytes);
        await closed(socket);
      } catch (thrown) {
        assert.ok(thrown instanceof TlsDialError);
      }
    }
    await eventually(`a refusal because of ${reason}`, async () => {
      const after = reasonsOf(await west.metrics());
      return [...after].some(([name, count]) => reason.test(name) && count > (before.get(name) ?? 0));
    });
  }
  assert.equal(pod.connections(), 0);
});

function reasonsOf(page: string): Map<string, number> {
  const lines = page.matchAll(/^gateway_connections_refused_total\{reason="([^"]+)"\} (\d+)$/gm);
  return new Map([...lines].map(([, name = '', count]) => [name, Number(count)]));
}

test('plaintext is refused', async (t) => {
  const west = await startWest(t);
  const answer = await fetch(`http://127.0.0.1:${west.port}/`, { headers: { host: cart } }).catch(
    () => 'refused',
  );
  assert.equal(answer, 'refused');
  await assertMetric(west, /^gateway_connections_refused_total\{reason="not-tls"\} 1$/m);
});

for (const [what, peers] of [
  ['its Link loses allow', [{ cluster: 'east', allow: false }]],
  ['its Link goes', [{ cluster: 'north', allow: true }]],
] as const) {
  test(`an open connection of a peer ends within a second when ${what}`, async (t) => {
    const west = await startWest(t);
    const pod = await startPlainPod(t);
    west.endpoints([{ port: pod.port }]);
    const east = await session(t, west);
    assert.equal((await ask(east)).status, 200);
    const slow = ask(east, { ':path': '/slow' });
    await eventually('the slow request runs', () => pod.seen.length === 2);
    const startedAt = performance.now();
    west.setTable({ peers: [...peers] });
    assert.equal((await slow).status, 0);
    await eventually('the session is gone', () => east.destroyed || east.closed);
    assert.ok(performance.now() - startedAt < 1000);
    await assertMetric(west, /^gateway_connections\{source_cluster="east"\} 0$/m);
  });
}

test('opaque bytes reach the port of a pod, with the caller in the transport header', async (t) => {
  const west = await startWest(t);
  const pod = await startMeshedPod(t, west.trust, workload('cart', 'west'));
  west.endpoints([{ port: 3306, identity: workload('cart', 'west'), opaque: true, transportPort: pod.port }]);
  const socket = await dial(t, west, { alpn: transportHeaderAlpn });
  const header = {
    port: 80,
    name: 'cart.shop.svc.cluster.local',
    sessionProtocol: undefined,
    clientId: workload('admin', 'west'),
    hops: 0,
  };
  const bytes = encodeTransportHeader(header);
  socket.write(bytes.subarray(0, 30));
  socket.write(Buffer.concat([bytes.subarray(30), Buffer.from('hello')]));
  const received: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => received.push(chunk));
  await eventually('the echo', () => Buffer.concat(received).toString() === 'hello');
  assert.deepEqual(pod.headers, [
    { port: 3306, name: '', sessionProtocol: undefined, clientId: frontend, hops: 1 },
  ]);

  const broken = once(socket, 'error');
  west.setTable({ exports: [] });
  const [{ code }] = (await broken) as [NodeJS.ErrnoException];
  assert.equal(code, 'ECONNRESET', 'what was sent is not whole');
});

test('opaque bytes reach a pod without a sidecar as they are', async (t) => {
  const west = await startWest(t);
  const pod = await startPlainPod(t);
  west.endpoints([{ port: pod.port, opaque: true }]);
  const socket = await dial(t, west, { alpn: transportHeaderAlpn });
  const header = { port: 80, name: 'cart.shop.svc.cluster.local', sessionProtocol: undefined };
  socket.write(encodeTransportHeader({ ...header, clientId: '', hops: 0 }));
  socket.write('GET /raw HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
  const received: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => received.push(chunk));
  await closed(socket);
  assert.match(Buffer.concat(received).toString(), /plain \/raw/);
});

test('opaque bytes of a caller whose certificate expires end with it', async (t) => {
  const west = await startWest(t);
  const pod = await startMeshedPod(t, west.trust, workload('cart', 'west'));
  west.endpoints([{ port: 3306, identity: workload('cart', 'west'), opaque: true, transportPort: pod.port }]);
  const socket = await dial(t, west, { alpn: transportHeaderAlpn, lifetimeMs: 5000 });
  socket.write(transportHeader({}));
  await once(socket.resume(), 'end');
  await assertMetric(west, /^mesh_opaque_expired_total\{moment="busy"\} 1$/m);
});

test('a request of a caller whose certificate expires does not outlast it', async (t) => {
  const west = await startWest(t);
  const pod = await startPlainPod(t);
  west.endpoints([{ port: pod.port }]);
  const made = await session(t, west, frontend, 3000);
  let asked = false;
  made.on('goaway', () => (asked = true));
  assert.equal((await ask(made, { ':path': '/slow' })).status, 0);
  assert.ok(asked, 'it was asked to leave before');
  await assertMetric(west, /^mesh_limit_hits_total\{limit="expiry_lead_ms"\} 1$/m);
});

const headerRefusals: readonly [what: string, bytes: Buffer, reason: string][] = [
  ['a header without a name', transportHeader({ name: '' }), 'no-name'],
  [
    'a service that is not exported',
    transportHeader({ name: 'catalog.shop.svc.cluster.local' }),
    'not-exported',
  ],
  ['a port that is not exported', transportHeader({ port: 81 }), 'port-not-exported'],
  [
    "another cluster's export",
    transportHeader({ name: 'ledger.shop.svc.cluster.local' }),
    'cluster-not-allowed',
  ],
  ['too many hops', transportHeader({ hops: 8 }), 'loop'],
  ['no header at all', Buffer.from('GET / HTTP/1.1\r\nhost: cart\r\n\r\n'), 'bad-header'],
];

function transportHeader(change: { name?: string; port?: number; hops?: number }): Buffer {
  const base = { port: 80, name: 'cart.shop.svc.cluster.local', sessionProtocol: undefined, clientId: '' };
  return encodeTransportHeader({ ...base, hops: 0, ...change });
}

test('opaque connections are refused by name', async (t) => {
  const west = await startWest(t);
  const pod = await startPlainPod(t);
  west.endpoints([{ port: pod.port, opaque: true }]);
  for (const [what, bytes, reason] of headerRefusals) {
    const socket = await dial(t, west, { alpn: transportHeaderAlpn });
    socket.write(Buffer.concat([bytes, Buffer.from('secret')]));
    await closed(socket);
    await assertMetric(
      west,
      new RegExp(`^gateway_requests_refused_total\\{source_cluster="east",reason="${reason}"\\} 1$`, 'm'),
    ).catch((cause: unknown) => assert.fail(`${what}: ${String(cause)}`));
  }
  assert.equal(pod.connections(), 0);
});

test('HTTP/2 behind a transport header is HTTP, each request admitted by itself', async (t) => {
  const west = await startWest(t);
  const pod = await startPlainPod(t);
  west.endpoints([{ port: pod.port }]);
  const socket = await dial(t, west, { alpn: transportHeaderAlpn });
  const base = { port: 80, name: 'cart.shop.svc.cluster.local', clientId: '', hops: 0 };
  // node:http2 takes over only a socket that writes nothing any more.
  await new Promise((resolve) =>
    socket.write(encodeTransportHeader({ ...base, sessionProtocol: 'http2' }), resolve),
  );
  const made = connectHttp2('http://gateway', { createConnection: () => socket });
  made.on('error', () => {});
  t.after(() => made.destroy());
  const answer = await ask(made, { 'l5d-orig-proto': 'HTTP/1.1' });
  assert.equal(answer.status, 200);
  assert.equal(pod.seen[0]?.headers['l5d-client-id'], frontend);
  assert.equal((await ask(made, { ':authority': 'catalog.shop.svc.cluster.local:80' })).status, 404);
});

test('HTTP/1 behind a transport header', async (t) => {
  const west = await startWest(t);
  const pod = await startPlainPod(t);
  west.endpoints([{ port: pod.port }]);
  const socket = await dial(t, west, { alpn: transportHeaderAlpn });
  const base = { port: 80, name: 'cart.shop.svc.cluster.local', clientId: '', hops: 0 };
  socket.write(encodeTransportHeader({ ...base, sessionProtocol: 'http1' }));
  socket.write(`GET /one HTTP/1.1\r\nhost: ${cart}\r\nconnection: close\r\n\r\n`);
  const received: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => received.push(chunk));
  await closed(socket);
  assert.match(Buffer.concat(received).toString(), /^HTTP\/1\.1 200 [^]*plain \/one$/);
  assert.equal(pod.seen[0]?.headers['l5d-client-id'], frontend);
});

test('the mirror controllers of peers, and nobody else, reach the federation API, stamped', async (t) => {
  const west = await startWest(t);
  for (const [as, allowed] of [
    [mirrorIdentity('east'), true],
    [gatewayIdentity('east'), false],
    [frontend, false],
  ] as const) {
    const client = grpcClient(t, west, { as, authority: 'federation.multicluster.mesh.io' });
    const metadata = new Metadata();
    metadata.set('l5d-client-id', mirrorIdentity('north'));
    const call = client.makeServerStreamRequest(
      '/mesh.federation.v1.Federation/Subscribe',
      (message: Buffer) => message,
      (bytes: Buffer) => fromBinary(EventSchema, bytes),
      Buffer.from(toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema, { protocol: 1 }))),
      metadata,
    );
    const first = await new Promise<string>((resolve) => {
      call.on('data', ({ event }: { event: { case: string } }) => {
        resolve(event.case);
        call.cancel();
      });
      call.on('error', ({ details }: { details: string }) => resolve(details));
    });
    assert.equal(first, allowed ? 'beat' : 'only mirror controllers may call the federation API');
  }
  assert.deepEqual(west.federationCalls, [
    { stamped: mirrorIdentity('east'), peer: gatewayIdentity('west') },
  ]);
  await assertMetric(west, /^gateway_federation_requests_total\{source_cluster="east"\} 1$/m);
});

function grpcClient(
  t: TestContext,
  west: TestWest,
  { as, authority }: { as: string; authority: string },
): Client {
  const own = west.trust.credentials(as).current;
  assert.ok(own !== undefined);
  const key = Buffer.from(own.key.export({ type: 'pkcs8', format: 'pem' }));
  const client = new Client(
    `127.0.0.1:${west.port}`,
    grpcCredentials.createSsl(Buffer.from(own.anchorsPem), key, Buffer.from(own.chainPem)),
    {
      'grpc.ssl_target_name_override': west.identity,
      'grpc.default_authority': authority,
      'grpc.enable_retries': 0,
    },
  );
  t.after(() => client.close());
  return client;
}

test('gRPC passes in both directions with its metadata and trailers', async (t) => {
  const west = await startWest(t);
  const raw = (bytes: Buffer): Buffer => bytes;
  const server = new Server();
  const callers: unknown[] = [];
  server.addService(
    {
      rate: {
        path: '/shop.Ratings/Rate',
        requestStream: true,
        responseStream: true,
        requestSerialize: raw,
        requestDeserialize: raw,
        responseSerialize: raw,
        responseDeserialize: raw,
      },
    },
    {
      rate(call: import('@grpc/grpc-js').ServerDuplexStream<Buffer, Buffer>) {
        callers.push(call.metadata.get('l5d-client-id')[0]);
        call.on('data', (message: Buffer) => call.write(Buffer.concat([Buffer.from('re:'), message])));
        call.on('end', () => {
          const trailers = new Metadata();
          trailers.set('x-stars', '5');
          call.emit('error', { code: 9, details: 'no stars left', metadata: trailers });
        });
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  t.after(() => server.forceShutdown());
  west.endpoints([{ port }]);
  const client = grpcClient(t, west, { as: frontend, authority: cart });
  const call = client.makeBidiStreamRequest('/shop.Ratings/Rate', raw, raw, new Metadata());
  const replies: string[] = [];
  const status = new Promise<{ code: number; details: string; metadata: Metadata }>((resolve) =>
    call.on('status', resolve),
  );
  call.on('error', () => {});
  call.on('data', (message: Buffer) => replies.push(message.toString()));
  call.write(Buffer.from('one'));
  await eventually('the first reply comes before the call ends', () => replies.length === 1);
  call.write(Buffer.from('two'));
  call.end();
  const { code, details, metadata } = await status;
  assert.deepEqual(replies, ['re:one', 're:two']);
  assert.equal(code, 9);
  assert.equal(details, 'no stars left');
  assert.deepEqual(metadata.get('x-stars'), ['5']);
  assert.deepEqual(callers, [frontend]);
});

test('a gateway never passes a request on to another cluster', async (t) => {
  const west = await startWest(t);
  const other = await startMeshedPod(t, west.trust, gatewayIdentity('north'));
  west.endpoints([{ port: other.port, identity: gatewayIdentity('north'), authority: cart }]);
  assert.equal((await ask(await session(t, west))).reset, refusedStream);
  assert.equal(other.connections(), 0);
  const pod = await startPlainPod(t);
  west.endpoints([
    { port: other.port, identity: gatewayIdentity('north'), authority: cart },
    { port: pod.port },
  ]);
  const east = await session(t, west);
  await eventually('the local pod answers', async () => (await ask(east)).status === 200);
  assert.equal(other.connections(), 0);
});

test('what is no longer exported is refused on connections that are open', async (t) => {
  const west = await startWest(t);
  const pod = await startPlainPod(t);
  west.endpoints([{ port: pod.port }]);
  const east = await session(t, west);
  assert.equal((await ask(east)).status, 200);
  west.setTable({ exports: [] });
  await eventually('the export is gone', async () => (await ask(east)).status === 404);
});

test('requests under way end with the export that they are for, and others go on', async (t) => {
  const west = await startWest(t);
  const pod = await startPlainPod(t);
  const exported = (name: string) => ({
    namespace: 'shop',
    name,
    ports: [{ name: 'http', port: 80 }],
    allowAllClusters: true,
  });
  const ledger = cart.replace('cart', 'ledger');
  west.setTable({ exports: [exported('cart'), exported('ledger')] });
  west.endpoints([{ port: pod.port }]);
  west.endpoints([{ port: pod.port }], ledger);
  const east = await session(t, west);
  await eventually(
    'both are exported',
    async () => (await ask(east, { ':authority': ledger })).status === 200,
  );
  const before = pod.seen.length;
  const toCart = ask(east, { ':path': '/slow' });
  const toLedger = ask(east, { ':path': '/slow', ':authority': ledger });
  await eventually('both are under way', () => pod.seen.length === before + 2);
  west.setTable({ exports: [exported('ledger')] });
  const { status, headers } = await toCart;
  assert.equal(status, 404);
  assert.match(String(headers['l5d-proxy-error']), /the service is not exported/);
  pod.answerSlow();
  assert.equal((await toLedger).body, 'late');
  await assertMetric(
    west,
    /^gateway_requests_refused_total\{source_cluster="east",reason="not-exported"\} 1$/m,
  );
});

test('a gateway that is told to stop answers what it took and takes no more', async (t) => {
  const west = await startWest(t);
  const pod = await startPlainPod(t);
  west.endpoints([{ port: pod.port }]);
  const east = await session(t, west);
  assert.equal((await ask(east)).status, 200);
  const slow = ask(east, { ':path': '/slow', 'l5d-orig-proto': 'HTTP/1.1' });
  await eventually('the slow request runs', () => pod.seen.length === 2);
  const goaway = new Promise((resolve) => east.on('goaway', resolve));
  const stopped = west.stop();
  await goaway;
  await assert.rejects(dial(t, west), /ECONNREFUSED/);
  pod.answerSlow();
  assert.equal((await slow).body, 'late');
  const startedAt = performance.now();
  await stopped;
  assert.ok(
    performance.now() - startedAt < 2500,
    'it waits for what is open, not for the whole grace period',
  );
});
