/**
 * The attacks on TLS of testing/tls-attacks.ts at the ports of a sidecar and of a gateway: they end, cost little, leave nothing behind,
 * and nobody else notices. Bad certificates are presented in packages/trust, where each verdict is told by its name.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { credentialsOf, workload } from '@mesh/proxy/testing/mesh';
import { eventually } from '@mesh/testkit/eventually';
import { retainedBytes } from '@mesh/testkit/retained-bytes';
import { assertUnharmed, besideVictim } from '@mesh/testkit/victim';
import { neighbour } from './testing/raw-client.ts';
import { type TlsAttackSite, tlsAttacks } from './testing/tls-attacks.ts';
import { startTwoClusters, type TwoClusters } from './testing/two-clusters.ts';
import { victimOf } from './testing/victim-request.ts';
import { startWitness, type Witness } from './testing/witness.ts';

interface Place {
  readonly path: TwoClusters;
  readonly witness: Witness;
}

async function start(t: TestContext): Promise<Place> {
  const witness = await startWitness(t);
  const path = await startTwoClusters(t, {
    app: witness.port,
    serverEnvironment: { MESH_DETECT_TIMEOUT: '1s', MESH_INBOUND_DEFAULT_POLICY: 'all-authenticated' },
  });
  return { path, witness };
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

/** A proxy in this process; time passes by itself. */
class Door implements TlsAttackSite {
  readonly longestPassMs = 0;
  readonly scale = 1;
  readonly serverName: string;
  readonly exported = '';
  readonly identity: string;
  readonly trusted: TlsAttackSite['trusted'];
  readonly #port: number;
  readonly #witness: Witness;
  readonly #page: () => Promise<string>;
  #refusedBefore = '';
  #markedBytes = 0;

  constructor({ path, witness }: Place, where: 'sidecar' | 'gateway') {
    const { server, gateway } = path;
    this.serverName = where === 'sidecar' ? server.identity : gateway.identity;
    this.#port = where === 'sidecar' ? server.ports.inbound : gateway.port;
    this.#page = () => (where === 'sidecar' ? server : gateway).metrics();
    this.#witness = witness;
    this.identity = where === 'sidecar' ? neighbour : workload('frontend', 'east');
    const { current } = credentialsOf(path.trust, this.identity, this.identity.split('.').at(-3) ?? '');
    assert.ok(current !== undefined);
    const key = current.key.export({ type: 'pkcs8', format: 'pem' });
    this.trusted = { key, cert: current.chainPem, ca: current.anchorsPem };
  }

  async begin(): Promise<void> {
    this.#refusedBefore = await this.#page();
  }

  connect(): Promise<Socket> {
    throw new Error('attacks on TLS open their own');
  }

  connectPlain(): Promise<Socket> {
    return connected(this.#port);
  }

  connectForHandshake(): Promise<Socket> {
    return this.connectPlain();
  }

  async requests(): Promise<number> {
    return this.#witness.seen.length;
  }

  async hits(): Promise<number> {
    return 0;
  }

  async refused(reason: string): Promise<number> {
    return refused(await this.#page(), reason) - refused(this.#refusedBefore, reason);
  }

  async pass(): Promise<void> {}

  mark(): void {
    this.#markedBytes = retainedBytes();
  }

  async holdsAtMost(most: number): Promise<void> {
    const held = retainedBytes() - this.#markedBytes;
    assert.ok(held <= most, `${held} bytes are held, more than ${most}`);
  }

  async open(): Promise<number> {
    return 0;
  }
}

/** The gateway gives half a hello 10 s, for which only the long form has time. */
const longOnly: ReadonlySet<string> = new Set(['gateway T-8']);
/** Presented in packages/trust. */
const certificates: ReadonlySet<string> = new Set(['T-2', 'T-3', 'T-6']);

for (const where of ['sidecar', 'gateway'] as const) {
  test(`attacks on TLS at a ${where}`, async (t) => {
    const place = await start(t);
    const request = victimOf(t, place.path);
    await request();
    for (const { id, what, run } of tlsAttacks) {
      if (certificates.has(id) || longOnly.has(`${where} ${id}`)) continue;
      await t.test(`${id}: ${what}`, async () => {
        const door = new Door(place, where);
        await door.begin();
        const before = openFiles();
        assertUnharmed(await besideVictim(request, () => run(door), { ratePerSecond: 50 }));
        await eventually('descriptors are given back', () => openFiles() <= before + 2, {
          timeoutMs: 20_000,
        });
      });
    }
  });
}

test('what is no TLS at the port of a gateway is refused as such', async (t) => {
  const { path } = await start(t);
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
