import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LimitLedger } from '@mesh/limits/limits';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { plainEndpoint } from './endpoint-spec.ts';
import { FixedTargets } from './fixed-targets.ts';
import { HttpMetrics } from './http-metrics.ts';
import { dataplaneLimits } from './limits.ts';
import { undialledPeers } from './testing/undialled-peers.ts';

function setup(most = 1000) {
  const clock = new FakeClock();
  const limits = new LimitLedger(dataplaneLimits, { discovered_targets: most });
  const metrics = new HttpMetrics(new MetricRegistry());
  const peers = undialledPeers(clock, limits);
  const pool = { peers, limits, failfast: 'failfast_inbound_ms', cells: () => metrics.cells({}) } as const;
  const targets = new FixedTargets({ clock, idleMs: 60_000, pool });
  const hold = (port: number) => targets.hold(plainEndpoint('127.0.0.1', port));
  return { clock, limits, peers, targets, hold };
}

void test('one target for all who use an address, forgotten with its peer a while after the last of them', () => {
  const { clock, peers, targets, hold } = setup();
  const [one, other] = [hold(80), hold(80)];
  assert.equal(one, other);
  targets.release(one);
  clock.advance(60_000);
  assert.equal(targets.size, 1);
  targets.release(other);
  clock.advance(59_999);
  assert.equal(hold(80), one);
  targets.release(one);
  clock.advance(60_000);
  assert.deepEqual([targets.size, peers.size], [0, 0]);
});

void test('whoever asks for every port has the longest unused forgotten, and none that is in use', () => {
  const { clock, limits, peers, targets, hold } = setup(10);
  const used = hold(80);
  targets.release(hold(81));
  for (let port = 1000; port < 3000; port++) targets.release(hold(port));
  assert.deepEqual([targets.size, peers.size], [10, 10]);
  assert.equal(limits.hits('discovered_targets'), 1992);
  assert.equal(hold(80), used);
  const latest = hold(2999);
  targets.release(latest);
  assert.equal(hold(2999), latest, 'the last ones are kept');
  targets.close();
  assert.equal(peers.size, 0);
  peers.close();
  assert.equal(clock.pending, 0);
});

void test('what was known of an address holds while it is used, when nobody answers any more', () => {
  const { targets } = setup();
  const known = { ...plainEndpoint('10.0.0.1', 80), identity: 'cart' };
  const plain = plainEndpoint('10.0.0.1', 80);
  const identity = (): string | undefined => {
    const [member] = targets.hold(plain, { guess: true }).pool.members();
    return member?.target.spec.identity;
  };
  targets.hold(known);
  assert.equal(identity(), 'cart');
  targets.hold(plain);
  assert.equal(identity(), undefined, 'it is said to be a stranger');
});
