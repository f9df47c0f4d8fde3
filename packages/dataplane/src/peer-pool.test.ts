import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@mesh/clock/seeded';
import { LimitLedger } from '@mesh/limits/limits';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { ConnectError, type DialTarget } from './connector.ts';
import { dataplaneLimits } from './limits.ts';
import { defaultCodecs } from './peer.ts';
import { PeerPool } from './peer-pool.ts';

void test('endpoints share connections to one identity at one address, and nothing else', () => {
  const peers = new PeerPool({
    clock: new FakeClock(),
    random: seededRandom(1),
    connector: { connect: () => Promise.reject(new ConnectError('not dialled', { kind: 'refused' })) },
    limits: new LimitLedger(dataplaneLimits),
    ...defaultCodecs(),
  });
  const target: DialTarget = { host: '10.0.0.1', port: 4143, identity: 'cart', gateway: false };
  const others: readonly Partial<DialTarget>[] = [
    { identity: 'payments' },
    { identity: undefined },
    { port: 4144 },
    { host: '10.0.0.2' },
    // It tells protocols apart by ALPN, so its connections are of another kind.
    { gateway: true },
    // Each of its connections begins with a header.
    { transportPort: 4143 },
  ];
  const peer = peers.hold(target);
  assert.equal(peers.hold({ ...target }), peer);
  const all = new Set([peer, ...others.map((facts) => peers.hold({ ...target, ...facts }))]);
  assert.equal(all.size, 1 + others.length);
  peers.close();
});
