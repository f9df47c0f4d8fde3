/**
 * A gateway is no way to anything but its exports: whatever an authenticated peer asks for, by whichever of the ways in,
 * no connection is opened outside the export set. Every socket that this process connects is written down.
 */
import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { assertUnharmed, besideVictim } from '@mesh/testkit/victim';
import { ask, dialAs, frontend, http2Session } from './testing/raw-client.ts';
import { askForTargets, cart, loops, openToTargets, targets } from './testing/relay-attacks.ts';
import { startTwoClusters, type TwoClusters } from './testing/two-clusters.ts';
import { victimOf } from './testing/victim-request.ts';
import { startWitness } from './testing/witness.ts';

/** Where all programs follow the trust anchors, on their own account; not among the targets. */
const ownErrand = 'mesh-identity.mesh.svc.cluster.local:8081';

/** Addresses that this process opens connections to, from now on. */
function ledger(t: TestContext): string[] {
  const dialled: string[] = [];
  const connect = Socket.prototype.connect as (...args: unknown[]) => unknown;
  t.mock.method(Socket.prototype, 'connect', function (this: Socket, ...args: unknown[]) {
    // net.connect normalises its arguments to one list; others pass the options themselves.
    const [first] = args.flat() as [{ host?: string; port?: number } | undefined];
    const address = `${first?.host ?? '?'}:${first?.port ?? '?'}`;
    if (address !== ownErrand) dialled.push(address);
    return connect.apply(this, args);
  });
  return dialled;
}

/** Only our own connections to the gateway itself may be opened. */
function onlyTo(path: TwoClusters, dialled: readonly string[]): void {
  assert.deepEqual([...new Set(dialled)], [`127.0.0.1:${path.gateway.port}`]);
}

test(`a peer asks a gateway for ${targets.length} targets in three ways: none is dialled`, async (t) => {
  assert.ok(targets.length >= 200);
  const witness = await startWitness(t);
  const path = await startTwoClusters(t, { app: witness.port });
  const session = await http2Session(t, path, 'gateway');
  assert.equal((await ask(session, { 'l5d-orig-proto': 'HTTP/1.1' })).status, 200);
  const request = victimOf(t, path);
  await request();
  const asked = path.gateway.asked.length;
  const dialled = ledger(t);
  assertUnharmed(
    await besideVictim(request, async () => {
      await askForTargets(session);
      assert.deepEqual(dialled, [], 'nothing was dialled, not even the gateway again');
      await openToTargets((alpn) => dialAs(path, path.gateway, frontend, [...alpn]));
    }),
  );
  onlyTo(path, dialled);
  assert.equal(path.gateway.asked.length, asked, 'discovery was not even asked');
  assert.deepEqual(new Set(witness.seen.map((seen) => seen.path)), new Set(['/']));

  const page = await path.gateway.metrics();
  for (const reason of [
    'bad-authority',
    'not-exported',
    'port-not-exported',
    'cluster-not-allowed',
    'not-a-mirror',
    'no-name',
  ]) {
    assert.match(
      page,
      new RegExp(`^gateway_requests_refused_total\\{source_cluster="east",reason="${reason}"\\} [1-9]`, 'm'),
    );
  }
});

test('an export is reached by every spelling of its one authority, and seen by the application in that one', async (t) => {
  const witness = await startWitness(t);
  const path = await startTwoClusters(t, { app: witness.port });
  const session = await http2Session(t, path, 'gateway');
  for (const authority of [
    `${cart}:80`,
    `${cart}.:80`,
    `CART.shop.svc.cluster.local:80`,
    `Cart.Shop.Svc.Cluster.Local.:80`,
  ]) {
    assert.equal((await ask(session, { ':authority': authority, 'l5d-orig-proto': 'HTTP/1.1' })).status, 200);
  }
  assert.deepEqual(new Set(witness.seen.map(({ host }) => host)), new Set([`${cart}:80`]));
});

test('a request that passed a gateway is not taken by it again, whoever says so', async (t) => {
  const witness = await startWitness(t);
  const path = await startTwoClusters(t, { app: witness.port });
  const session = await http2Session(t, path, 'gateway');
  const request = victimOf(t, path);
  await request();
  const exported = { cluster: 'west', authority: `${cart}:80` };
  assertUnharmed(
    await besideVictim(request, () =>
      loops(session, (alpn) => dialAs(path, path.gateway, frontend, [...alpn]), exported),
    ),
  );
  assert.deepEqual(witness.seen, []);
  assert.match(
    await path.gateway.metrics(),
    /^gateway_requests_refused_total\{source_cluster="east",reason="loop"\} 8$/m,
  );
});
