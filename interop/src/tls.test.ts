/** TLS at the doors of the mesh: other people's passes untouched, ours is found however it is cut, and nothing older. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { createServer as createTcpServer, type Socket } from 'node:net';
import {
  connect as connectTls,
  type ConnectionOptions,
  createServer as createTlsServer,
  type TLSSocket,
} from 'node:tls';
import { test, type TestContext } from 'node:test';
import { credentialsOf, newAnchor, workload } from '@mesh/proxy/testing/mesh';
import { eventually } from '@mesh/testkit/eventually';
import { transportHeaderAlpn } from '@mesh/transport/transport-header';
import { gatewayIdentity } from '@mesh/trust/names';
import { listening } from '@mesh/testkit/servers';
import { long } from './testing/long-form.ts';
import { neighbour } from './testing/raw-client.ts';
import { startTap } from './testing/tap.ts';
import { startTwoClusters, type TwoClusters } from './testing/two-clusters.ts';
import { startWitness } from './testing/witness.ts';

/** Options of a TLS client that shows the certificate of `identity`. */
function showing(path: TwoClusters, identity: string): ConnectionOptions {
  const { current } = credentialsOf(path.trust, identity, identity.split('.').at(-3) ?? '');
  assert.ok(current !== undefined);
  return {
    key: current.key.export({ type: 'pkcs8', format: 'pem' }),
    cert: current.chainPem,
    ca: current.anchorsPem,
    checkServerIdentity: () => undefined,
  };
}

function dial(t: TestContext, port: number, options: ConnectionOptions): TLSSocket {
  const socket = connectTls({ port, host: '127.0.0.1', ...options });
  socket.on('error', () => {});
  t.after(() => socket.destroy());
  return socket;
}

/** Status line of one request; empty when the connection ended without one. */
async function get(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.write('GET /x HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n');
  await closed;
  return /^HTTP\/1\.1 \d+/.exec(Buffer.concat(chunks).toString('latin1'))?.[0] ?? '';
}

test("somebody else's TLS passes two sidecars and a gateway bit for bit", async (t) => {
  const own = credentialsOf(newAnchor(), workload('bank', 'elsewhere'), 'elsewhere').current;
  assert.ok(own !== undefined);
  const server = createTlsServer(
    {
      key: own.key.export({ type: 'pkcs8', format: 'pem' }),
      cert: own.chainPem,
      ALPNProtocols: ['http/1.1'],
    },
    (socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    },
  );
  const behind = await startTap(t, await listening(t, server));
  const path = await startTwoClusters(t, { app: behind.port });
  const before = await startTap(t, path.port);
  const client = dial(t, before.port, {
    servername: 'bank.example',
    ca: own.anchorsPem,
    checkServerIdentity: () => undefined,
    ALPNProtocols: ['http/1.1'],
    maxVersion: 'TLSv1.2',
  });
  await once(client, 'secureConnect');
  assert.equal(client.getProtocol(), 'TLSv1.2', 'what version it is, is not ours to say');
  assert.equal(client.alpnProtocol, 'http/1.1');
  const data = randomBytes(500_000);
  const back: Buffer[] = [];
  client.on('data', (chunk: Buffer) => back.push(chunk));
  client.write(data);
  await eventually('all came back', () => Buffer.concat(back).length === data.length);
  assert.deepEqual(Buffer.concat(back), data);
  client.end();
  await once(client, 'close');
  await eventually('both ends saw the same bytes', () => {
    assert.deepEqual(before.sums(), behind.sums());
    return true;
  });
  assert.match(
    await path.caller.metrics(),
    /^mesh_detect_total\{direction="outbound",[^}]*result="tls"\} 1$/m,
  );
});

/** The same handshake bytes in records of at most `size` (RFC 8446 §5.1). */
function inRecords(hello: Buffer, size: number): Buffer {
  const body = hello.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < body.length; at += size) {
    const part = body.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 0xff]), part);
  }
  return Buffer.concat(records);
}

test('a ClientHello is found and replayed however it is cut', async (t) => {
  const witness = await startWitness(t);
  const path = await startTwoClusters(t, { app: witness.port });
  let cut: (first: Buffer) => readonly Buffer[] = (first) => [first];
  const tap = await startTap(t, path.server.ports.inbound, { cut: (first) => cut(first) });
  const options = { ...showing(path, neighbour), servername: path.server.identity };
  const works = async (how: string): Promise<void> => {
    assert.equal(await get(dial(t, tap.port, options)), 'HTTP/1.1 200', how);
  };
  await works('whole');
  const { length } = tap.first() ?? Buffer.alloc(0);
  assert.ok(length > 200);
  const step = long ? 1 : 23;
  for (let at = 1; at < length; at += at < 12 ? 1 : step) {
    cut = (first) => [first.subarray(0, at), first.subarray(at)];
    await works(`cut at ${at}`);
  }
  cut = (first) => Array.from(first, (byte) => Buffer.from([byte]));
  await works('byte by byte');
  for (const size of [1, 7, 100]) {
    cut = (first) => [inRecords(first, size)];
    await works(`in records of ${size}`);
    cut = (first) => {
      const records = inRecords(first, size);
      return [records.subarray(0, 9), records.subarray(9, 200), records.subarray(200)];
    };
    await works(`in records of ${size}, cut`);
  }
});

test('whose TLS it is goes by server name and protocol; the rest reaches the application as it came', async (t) => {
  const openings: Buffer[] = [];
  const app = createTcpServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (bytes: Buffer) => {
      openings.push(bytes);
      socket.destroy();
    });
  });
  const path = await startTwoClusters(t, { app: await listening(t, app) });
  const { identity, ports } = path.server;
  for (const [servername, ours] of [
    [identity, true],
    [identity.toUpperCase(), true],
    [workload('payments', 'west'), false],
    [gatewayIdentity('west'), false],
    [`x${identity}`, false],
    [identity.replace('west', 'east'), false],
    ['bank.example', false],
    ['', false],
  ] as const) {
    for (const [ALPNProtocols, mesh] of [
      [[], false],
      [['h2'], false],
      [['h2', transportHeaderAlpn], true],
      [['http/1.1', 'h3'], false],
    ] as const) {
      const what = `${servername} ${ALPNProtocols.join()}`;
      openings.length = 0;
      const tap = await startTap(t, ports.inbound);
      const client = dial(t, tap.port, {
        ...showing(path, neighbour),
        servername,
        ...(ALPNProtocols.length === 0 ? {} : { ALPNProtocols: [...ALPNProtocols] }),
      });
      if (ours || mesh) {
        const refused = ALPNProtocols.some((protocol) => protocol === 'h3');
        const [event] = await Promise.race([
          once(client, 'secureConnect').then(() => ['secure']),
          once(client, 'close').then(() => ['closed']),
        ]).catch(() => ['closed']);
        assert.equal(event, refused ? 'closed' : 'secure', what);
        if (!refused) assert.equal(client.getPeerX509Certificate()?.subjectAltName, `DNS:${identity}`, what);
        assert.deepEqual(openings, [], what);
      } else {
        await eventually(`the application has it: ${what}`, () => openings.length === 1);
        assert.deepEqual(openings[0], tap.first(), what);
      }
      client.destroy();
    }
  }
});

/** Statuses of requests on one connection between proxies; `no TLS` when the server name leads to nobody who ends TLS. */
async function ask(
  socket: TLSSocket,
  authorities: readonly string[],
): Promise<readonly (number | 'no TLS')[]> {
  const secure = await new Promise((resolve) => {
    socket.once('secureConnect', () => resolve(true));
    socket.once('close', () => resolve(false));
  });
  if (secure === false) return authorities.map(() => 'no TLS');
  const session = connectHttp2('https://mesh', { createConnection: () => socket });
  session.on('error', () => {});
  const statuses: number[] = [];
  for (const authority of authorities) {
    const stream = session.request({ ':path': '/x', ':authority': authority, 'l5d-orig-proto': 'HTTP/1.1' });
    stream.resume();
    const [head] = (await once(stream, 'response')) as [IncomingHttpHeaders];
    statuses.push(Number(head[':status']));
  }
  session.destroy();
  return statuses;
}

test('server name, authority and identity: 12 combinations, alone and on one connection', async (t) => {
  const witness = await startWitness(t);
  const path = await startTwoClusters(t, { app: witness.port });
  const frontend = workload('frontend', 'east');
  const exported = 'cart.shop.svc.cluster.local:80';
  const unknown = 'catalog.shop.svc.cluster.local:80';
  const payments = workload('payments', 'west');
  const sidecar = { port: path.server.ports.inbound, as: neighbour };
  const gateway = { port: path.gateway.port, as: frontend };
  // [where, server name, authority, status]. Everybody else's identity fails on the client's side: see dial.test.ts.
  const combinations = [
    [gateway, path.gateway.identity, exported, 200],
    [gateway, path.gateway.identity, unknown, 404],
    // What a gateway serves goes by caller and authority; its certificate is the same under any name.
    [gateway, payments, exported, 200],
    [gateway, payments, unknown, 404],
    [gateway, 'bank.example', exported, 200],
    [gateway, 'bank.example', unknown, 404],
    // A sidecar has one application, whatever a client calls it.
    [sidecar, path.server.identity, 'cart.shop', 200],
    [sidecar, path.server.identity, 'payments.shop', 200],
    // TLS for others is not the sidecar's to end; this application speaks none.
    [sidecar, payments, 'cart.shop', 'no TLS'],
    [sidecar, payments, 'payments.shop', 'no TLS'],
    [sidecar, 'bank.example', 'cart.shop', 'no TLS'],
    [sidecar, 'bank.example', 'payments.shop', 'no TLS'],
  ] as const;
  assert.equal(combinations.length, 12);
  const open = ({ port, as }: typeof gateway, servername: string): TLSSocket =>
    dial(t, port, { ...showing(path, as), servername, ALPNProtocols: ['h2'] });
  let reached = 0;
  for (const [where, servername, authority, status] of combinations) {
    assert.deepEqual(
      await ask(open(where, servername), [authority]),
      [status],
      `${servername}, ${authority}`,
    );
    if (status === 200) reached++;
    assert.equal(witness.seen.length, reached, `${servername}, ${authority}`);
  }
  // One connection for all authorities: each request is judged by itself, and another connection would not help.
  const coalesced = await ask(open(gateway, path.gateway.identity), [exported, unknown, exported]);
  assert.deepEqual(coalesced, [200, 404, 200]);
  assert.equal(witness.seen.length, reached + 2);
});

test('nothing but TLS 1.3, and no session goes on, at sidecar and gateway', async (t) => {
  const witness = await startWitness(t);
  const path = await startTwoClusters(t, { app: witness.port });
  const frontend = workload('frontend', 'east');
  for (const [where, port, servername, as] of [
    ['sidecar', path.server.ports.inbound, path.server.identity, neighbour],
    ['gateway', path.gateway.port, path.gateway.identity, frontend],
  ] as const) {
    const options = { ...showing(path, as), servername };
    for (const version of ['TLSv1', 'TLSv1.1', 'TLSv1.2'] as const) {
      const old = dial(t, port, {
        ...options,
        minVersion: version,
        maxVersion: version,
        ciphers: 'DEFAULT@SECLEVEL=0',
      });
      const [error] = (await once(old, 'error')) as [NodeJS.ErrnoException];
      assert.match(String(error.code), /ALERT_PROTOCOL_VERSION/, `${where}, ${version}`);
    }
    const page = await (where === 'gateway' ? path.gateway : path.server).metrics();
    assert.match(
      page,
      /^(?:mesh_tls|gateway_connections)_refused_total\{[^}]*reason="tls-version"[^}]*\} 3$/m,
    );

    const now = dial(t, port, options);
    const sessions: Buffer[] = [];
    now.on('session', (session) => sessions.push(session));
    await once(now, 'secureConnect');
    assert.equal(now.getProtocol(), 'TLSv1.3');
    assert.match(now.getCipher().name, /^TLS_(AES|CHACHA20)_/);
    // Sessions come right behind the handshake, before the answer to anything.
    const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0';
    now.write(preface);
    await once(now, 'data');
    assert.ok(sessions.length > 0, 'there is something to go on with');
    for (const session of sessions) {
      const again = dial(t, port, { ...options, session });
      await once(again, 'secureConnect');
      assert.equal(again.isSessionReused(), false, `${where}: every connection proves its certificate anew`);
      again.destroy();
    }
    now.destroy();
  }
});
