import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Export_Mode as Mode } from '@mesh/control-api/gen/mesh/federation/v1/federation_pb';
import { silentLogger } from '@mesh/telemetry/log';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { mirrorIdentity } from '@mesh/trust/names';
import { PeerSession, type PeerSessionOptions } from './peer-session.ts';
import { dialPeer, startHostilePeer, TestTrust } from './testing/test-mirror.ts';

const ports = [{ name: 'http', port: 80, protocol: 'TCP' }];
const cart = { namespace: 'shop', name: 'cart', mode: Mode.GATEWAY, ports, readyEndpoints: 1 };

/** Its time may also pass without a timer, as where the process stands still. */
class StandingClock extends FakeClock {
  #stoodMs = 0;

  override now(): number {
    return super.now() + this.#stoodMs;
  }

  standStill(forMs: number): void {
    this.#stoodMs += forMs;
  }
}

/** A session whose time moves only when told to. */
function startSession(
  t: TestContext,
  connect: PeerSessionOptions['connect'],
  { known = [] }: { known?: string[] } = {},
) {
  const clock = new StandingClock();
  const changed: string[] = [];
  let states = 0;
  const session = new PeerSession({
    link: { cluster: 'west', gatewayAddresses: ['127.0.0.1'] },
    cluster: 'east',
    probe: { periodMs: 1000, timeoutMs: 1000, failureThreshold: 3 },
    maxExports: 10,
    maxAgeMs: 60_000,
    known,
    clock,
    random: { next: () => 0.5 },
    log: silentLogger,
    connect,
    onExports: (keys) => changed.push(...keys),
    onState: () => states++,
  });
  session.start();
  t.after(() => session.stop());
  return { clock, session, changed, states: () => states };
}

async function startPeer(t: TestContext) {
  const trust = new TestTrust();
  const peer = await startHostilePeer(t, trust);
  const credentials = trust.credentials(mirrorIdentity('east'));
  let connects = 0;
  const connect: PeerSessionOptions['connect'] = async (host) => {
    connects++;
    return dialPeer(peer, credentials, host);
  };
  return { peer, connect, connects: () => connects };
}

test('a peer whose streams fail after their beginning is asked with growing pauses', async (t) => {
  const { peer, connect, connects } = await startPeer(t);
  peer.exports = [cart];
  const { clock, session, states } = startSession(t, connect);
  await eventually('a snapshot', () => session.view.synced);
  // The first verdict is told, too.
  clock.advance(500);
  peer.count = 2;
  let seen = states();
  peer.announce();
  for (const pauseMs of [200, 400, 800, 1600]) {
    const told = seen;
    await eventually('the end of the attempt', () => states() > told);
    seen = states();
    const before = connects();
    await clock.advanceAsync(pauseMs - 1);
    assert.equal(connects(), before, `no attempt within ${pauseMs} ms`);
    await clock.advanceAsync(2);
    assert.equal(connects(), before + 1);
  }
  await eventually('the last end', () => states() > seen);
  assert.equal(session.status().fault?.reason, 'BadSnapshot');
  peer.count = undefined;
  await clock.advanceAsync(3200);
  await eventually('all is well', () => session.status().fault === undefined);
});

test('of a stream with a fault nothing more is taken', async (t) => {
  const { peer, connect } = await startPeer(t);
  peer.exports = [cart];
  peer.cluster = 'north';
  const { session, changed } = startSession(t, connect);
  await eventually('the fault', () => session.status().fault !== undefined);
  assert.equal(session.status().fault?.reason, 'WrongCluster');
  assert.deepEqual(changed, []);
});

test('a gateway that answers no probe is left for that reason', async (t) => {
  const { peer, connect } = await startPeer(t);
  peer.exports = [cart];
  const { clock, session } = startSession(t, async (host, port) => {
    const connection = await connect(host, port);
    connection.ping = () => {};
    return connection;
  });
  await eventually('a snapshot', () => session.view.synced);
  clock.advance(4000);
  await eventually('it is left', () => !session.status().connected);
  assert.equal(session.status().fault?.reason, 'NoAnswer');
});

test('a mirror controller that stood still does not hold it against its peers', async (t) => {
  const { peer, connect } = await startPeer(t);
  peer.exports = [cart];
  const { clock, session } = startSession(t, connect);
  await eventually('a snapshot', () => session.view.synced);
  // A probe is under way.
  clock.advance(1000);
  clock.standStill(60_000);
  clock.advance(1000);
  assert.equal(session.state, 'alive');
  assert.deepEqual([session.status().fault, session.status().connected], [undefined, true]);
  // Silence of its own counts from then on.
  clock.advance(3500);
  assert.equal(session.state, 'dead');
});

test('what an earlier run left of a peer that does not come back goes at its age', async (t) => {
  const { clock, session, changed } = startSession(t, () => Promise.reject(new Error('no route')), {
    known: ['shop/cart'],
  });
  await clock.advanceAsync(60_000, 500);
  assert.deepEqual(changed, []);
  assert.equal(session.view.mustKeep('shop/cart'), true);
  await clock.advanceAsync(1000, 500);
  assert.deepEqual(changed, ['shop/cart']);
  assert.equal(session.view.mustKeep('shop/cart'), false);
});
