/** Clients that never finish a handshake, or begin a broken one: they end, cost little, and nobody else notices. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { test, type TestContext } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { seededRandom } from '@mesh/clock/seeded';
import { eventually } from '@mesh/testkit/eventually';
import { assertUnharmed, besideVictim } from '@mesh/testkit/victim';
import { listen } from '@mesh/testkit/servers';
import { long } from './testing/long-form.ts';
import { victimOf } from './testing/victim-request.ts';
import { startTwoClusters, type TwoClusters } from './testing/two-clusters.ts';
import { startWitness } from './testing/witness.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

async function start(t: TestContext): Promise<TwoClusters> {
  const witness = await startWitness(t);
  return startTwoClusters(t, {
    app: witness.port,
    serverEnvironment: { MESH_DETECT_TIMEOUT: '1s', MESH_INBOUND_DEFAULT_POLICY: 'all-authenticated' },
  });
}

/** The ClientHello of a real client. */
async function helloOf(t: TestContext, servername: string): Promise<Buffer> {
  const hellos: Buffer[] = [];
  const { port } = await listen(t, (socket) => socket.once('data', (bytes: Buffer) => hellos.push(bytes)));
  const client = connectTls({ port, host: '127.0.0.1', servername, ALPNProtocols: ['h2'] });
  client.on('error', () => {});
  t.after(() => client.destroy());
  return eventually('a hello', () => hellos[0]);
}

const openFiles = (): number => readdirSync('/proc/self/fd').length;

async function connected(port: number): Promise<Socket> {
  const socket = connectTcp({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('connect', resolve));
  return socket;
}

const closing = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });

function refused(page: string, reason: string): number {
  const line = new RegExp(
    `^(?:mesh_tls|gateway_connections)_refused_total\\{[^}]*reason="${reason}"[^}]*\\} (\\d+)$`,
    'm',
  );
  return Number(line.exec(page)?.[1] ?? 0);
}

test('broken ClientHellos end in one refusal each, and leave nothing behind', async (t) => {
  const path = await start(t);
  const random = seededRandom(11);
  const attempts = long ? 50_000 : 150;
  for (const [where, port, servername] of [
    ['sidecar', path.server.ports.inbound, path.server.identity],
    ['gateway', path.gateway.port, path.gateway.identity],
  ] as const) {
    const hello = await helloOf(t, servername);
    const request = victimOf(t, path);
    await request();
    const before = openFiles();
    const attack = async (): Promise<void> => {
      for (let attempt = 0; attempt < attempts; attempt++) {
        const damaged = Buffer.from(hello);
        for (let change = 0; change <= attempt % 6; change++) {
          damaged[Math.floor(random.next() * damaged.length)] = Math.floor(random.next() * 256);
        }
        const client = await connected(port);
        const closed = closing(client);
        client.resume();
        client.end(damaged);
        await closed;
      }
    };
    assertUnharmed(await besideVictim(request, attack));
    await eventually(`${where}: descriptors are given back`, () => openFiles() <= before + 2, {
      timeoutMs: 20_000,
    });
  }
});

test('half a ClientHello, or none: cut off in time, at little cost', async (t) => {
  const path = await start(t);
  const request = victimOf(t, path);
  await request();
  const count = long ? 1000 : 100;
  const halves = [
    (await helloOf(t, path.gateway.identity)).subarray(0, 200),
    Buffer.from([22, 3, 1]),
    // A record of 16 KiB that is announced and does not come.
    Buffer.from([22, 3, 1, 0x40, 0x00, 1, 0, 0x3f, 0xfc]),
    Buffer.alloc(0),
  ];
  collect();
  const usage = (): number => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = usage();
  const clients: Socket[] = [];
  t.after(() => {
    for (const client of clients) client.destroy();
  });
  const attack = async (): Promise<void> => {
    for (let at = 0; at < count; at++) {
      for (const port of [path.server.ports.inbound, path.gateway.port]) {
        const client = await connected(port);
        client.resume();
        client.write(halves[at % halves.length] ?? Buffer.alloc(0));
        clients.push(client);
      }
    }
    const each = (usage() - before) / clients.length;
    // Both ends of each connection are in this process: half of it is the attacker's.
    assert.ok(each < 40 * 1024, `${Math.round(each)} bytes for each connection`);
    // The gateway gives them 10 s, which only the long form waits for.
    await Promise.all(clients.filter((_, at) => long || at % 2 === 0).map(closing));
  };
  assertUnharmed(await besideVictim(request, attack, { ratePerSecond: 50 }));
  if (long) {
    const gateway = await path.gateway.metrics();
    assert.ok(refused(gateway, 'handshake-timeout') > 0, 'the gateway says why');
    assert.match(gateway, /^mesh_limit_hits_total\{limit="tls_handshake_ms"\} [1-9]/m);
  }
  assert.match(await path.server.metrics(), /^mesh_detect_total\{[^}]*result="timeout"\} [1-9]/m);
});

test('what is no TLS at the port of a gateway is refused as such', async (t) => {
  const path = await start(t);
  const request = victimOf(t, path);
  const attack = async (): Promise<void> => {
    for (const bytes of [
      Buffer.from('GET / HTTP/1.1\r\nhost: cart\r\n\r\n'),
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      Buffer.from('SSH-2.0-x\r\n'),
      Buffer.alloc(20_000, 'x'),
      Buffer.alloc(20_000),
    ]) {
      const client = await connected(path.gateway.port);
      const closed = closing(client);
      client.resume();
      client.write(bytes);
      await closed;
    }
  };
  assertUnharmed(await besideVictim(request, attack));
  assert.equal(refused(await path.gateway.metrics(), 'not-tls'), 5);
});
