import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { tcpAddress } from '@mesh/control-api/convert';
import { UpdateSchema, type WeightedAddrSchema } from '@mesh/control-api/gen/linkerd/destination_pb';
import { LimitLedger } from '@mesh/limits/limits';
import { silentLogger } from '@mesh/telemetry/log';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { FakeClock } from '@mesh/testkit/fake-clock';
import type { ControlStreams } from './control-channel.ts';
import { Discovery, Target } from './discovery.ts';
import { outboundLabels } from './endpoint.ts';
import { EndpointPool } from './endpoint-pool.ts';
import { HttpMetrics } from './http-metrics.ts';
import { dataplaneLimits } from './limits.ts';
import { undialledPeers } from './testing/undialled-peers.ts';

function setup() {
  const clock = new FakeClock();
  const limits = new LimitLedger(dataplaneLimits);
  const metrics = new HttpMetrics(new MetricRegistry());
  const peers = undialledPeers(clock, limits);
  const pool = new EndpointPool({
    name: 'cart:80',
    peers,
    limits,
    failfast: 'failfast_outbound_ms' as const,
    cells: (spec) => metrics.cells(outboundLabels(spec)),
  });
  const target = new Target('cart:80', pool, { clock, log: silentLogger });
  const keys = (): string[] => [...pool.members()].map((member) => member.key).sort();
  return { clock, pool, peers, target, keys };
}

type Entry = MessageInitShape<typeof WeightedAddrSchema>;

function entry(last: number, facts: Entry = {}): Entry {
  const addr = tcpAddress(`10.0.0.${last}`, 80);
  return { ...(addr === undefined ? {} : { addr }), weight: 10_000, ...facts };
}

const add = (...addrs: Entry[]) => create(UpdateSchema, { update: { case: 'add', value: { addrs } } });
const remove = (...last: number[]) =>
  create(UpdateSchema, {
    update: {
      case: 'remove',
      value: {
        addrs: last.map((each) => tcpAddress(`10.0.0.${each}`, 80)).filter((addr) => addr !== undefined),
      },
    },
  });
const none = (exists: boolean) =>
  create(UpdateSchema, { update: { case: 'noEndpoints', value: { exists } } });

void test('the first add of a stream replaces the set, later ones extend it', () => {
  const { target, keys } = setup();
  target.onMessage(add(entry(1), entry(2)), true);
  target.onMessage(add(entry(3)), false);
  assert.deepEqual(keys(), ['10.0.0.1:80', '10.0.0.2:80', '10.0.0.3:80']);
  target.onMessage(remove(1), false);
  assert.deepEqual(keys(), ['10.0.0.2:80', '10.0.0.3:80']);
  target.onMessage(add(entry(4)), true);
  assert.deepEqual(keys(), ['10.0.0.4:80']);
});

void test('after a reconnect what was known stays until the first set comes', () => {
  const { target, keys } = setup();
  target.onMessage(add(entry(1)), true);
  target.onMessage(remove(1), true);
  assert.deepEqual(keys(), ['10.0.0.1:80']);
  target.onMessage(add(entry(2)), false);
  assert.deepEqual(keys(), ['10.0.0.2:80']);
});

void test('no endpoints and no service are told apart', () => {
  const { target, pool, keys } = setup();
  assert.equal(pool.state, 'unknown');
  target.onMessage(add(entry(1)), true);
  target.onMessage(none(true), false);
  assert.deepEqual([pool.state, keys()], ['empty', []]);
  target.onMessage(none(false), false);
  assert.equal(pool.state, 'absent');
});

void test('how many local endpoints are enough follows the set, and a stream that says nothing of it undoes it', () => {
  const { target, pool } = setup();
  const set = (enoughReady: number, ...addrs: Entry[]) =>
    create(UpdateSchema, { update: { case: 'add', value: { addrs, enoughReady } } });
  target.onMessage(set(4, entry(1), entry(2, { tier: 1 })), true);
  assert.equal(pool.spillShare, 0.75);
  target.onMessage(set(2, entry(1)), false);
  assert.equal(pool.spillShare, 0.5);
  target.onMessage(set(0, entry(1), entry(2, { tier: 1 })), true);
  assert.equal(pool.spillShare, 0);
});

void test('tier and weight of an endpoint: a gateway counts what is ready behind it', () => {
  const { target, pool } = setup();
  target.onMessage(
    add(
      entry(1),
      entry(2, { tier: 1, readyBehind: 6, authorityOverride: { authorityOverride: 'cart.shop:80' } }),
      entry(3, { weight: 5000 }),
    ),
    true,
  );
  const facts = [...pool.members()].map(({ tier, weight, target }) => [
    tier,
    weight,
    target.spec.authorityOverride,
  ]);
  assert.deepEqual(facts, [
    [0, 1, ''],
    [1, 6, 'cart.shop:80'],
    [0, 0.5, ''],
  ]);
});

void test('an endpoint that is the same keeps its connections, a changed identity gets new ones', () => {
  const { target, pool, peers } = setup();
  const named = (name: string): Entry =>
    entry(1, { tlsIdentity: { strategy: { case: 'dnsLikeIdentity', value: { name } } } });
  target.onMessage(add(named('a')), true);
  const first = [...pool.members()][0]?.target;
  target.onMessage(add(named('a')), true);
  assert.equal([...pool.members()][0]?.target, first);
  target.onMessage(add(named('b')), false);
  const second = [...pool.members()][0]?.target;
  assert.notEqual(second, first);
  assert.equal(second?.peer.target.identity, 'b');
  assert.equal(peers.size, 1);
});

void test('of an address that one message names twice the last word counts, and its connections are not closed', () => {
  const { target, pool, peers } = setup();
  const named = (name: string): Entry =>
    entry(1, { tlsIdentity: { strategy: { case: 'dnsLikeIdentity', value: { name } } } });
  target.onMessage(add(named('a')), true);
  for (const names of ['ba', 'ab', 'aba']) {
    target.onMessage(add(...[...names].map(named)), false);
    const [member] = pool.members();
    const last = names.at(-1);
    assert.equal(member?.target.spec.identity, last);
    assert.equal(peers.size, 1);
    const { peer } = member?.target ?? assert.fail('it is gone');
    assert.equal(peers.hold(peer.target), peer, names);
    peers.release(peer);
  }
  target.onMessage(none(true), false);
  assert.equal(peers.size, 0);
});

void test('peers are given back with their endpoints', () => {
  const { target, peers } = setup();
  target.onMessage(add(entry(1), entry(2)), true);
  assert.equal(peers.size, 2);
  target.onMessage(none(true), false);
  assert.equal(peers.size, 0);
});

void test('the age counts from the end of the stream to its next word', () => {
  const { clock, target } = setup();
  assert.equal(target.ageMs, undefined);
  target.onMessage(none(true), true);
  clock.advance(2500);
  assert.equal(target.ageMs, 0);
  target.onInterrupted();
  clock.advance(2000);
  target.onInterrupted();
  clock.advance(500);
  assert.equal(target.ageMs, 2500);
  target.onMessage(none(true), true);
  assert.equal(target.ageMs, 0);
});

/** A program that follows at most so many destinations, and the authorities it follows. */
function discovery(most: number, evictions = 500) {
  const { clock, peers } = setup();
  const limits = new LimitLedger(dataplaneLimits, {
    discovered_targets: most,
    discovered_target_evictions: evictions,
  });
  const registry = new MetricRegistry();
  const metrics = new HttpMetrics(registry);
  const watched = new Set<string>();
  const channel: ControlStreams = {
    keep(_method, input) {
      const { path } = input as { path: string };
      watched.add(path);
      return { cancel: () => void watched.delete(path) };
    },
  };
  const found = new Discovery({
    clock,
    log: silentLogger,
    channel,
    registry,
    limits,
    contextToken: '',
    pool: { peers, failfast: 'failfast_outbound_ms', cells: (spec) => metrics.cells(outboundLabels(spec)) },
    idleMs: 60_000,
  });
  const hold = (authority: string): Target => {
    const target = found.hold(authority);
    assert.ok(target !== undefined, authority);
    return target;
  };
  return { clock, found, hold, limits, registry, watched };
}

void test('a destination is watched while it is used, and a while longer', () => {
  const { clock, found, hold, watched } = discovery(10);
  const target = hold('cart:80');
  assert.equal(hold('cart:80'), target);
  found.release(target);
  clock.advance(60_000);
  assert.deepEqual([...watched], ['cart:80']);
  found.release(target);
  clock.advance(59_999);
  assert.equal(hold('cart:80'), target);
  found.release(target);
  clock.advance(60_000);
  assert.deepEqual([found.size, [...watched]], [0, []]);
});

void test('of too many destinations the one not used for longest makes room; those in use are never dropped', () => {
  const { found, hold, limits, registry, watched } = discovery(3);
  const used = hold('used:80');
  for (const authority of ['a:80', 'b:80', 'c:80', 'd:80']) found.release(hold(authority));
  assert.deepEqual([...watched], ['used:80', 'c:80', 'd:80']);
  assert.equal(limits.hits('discovered_targets'), 2);
  assert.doesNotMatch(registry.render(), /"a:80"/);
  hold('c:80');
  hold('d:80');
  assert.equal(found.hold('e:80'), undefined, 'all are in use');
  assert.equal(limits.hits('discovered_targets'), 3);
  assert.equal(hold('used:80'), used);
});

void test('destinations make room for each other no faster than the control plane takes it', () => {
  const { clock, found, hold, limits, watched } = discovery(3, 10);
  for (let name = 0; name < 13; name++) found.release(hold(`${name}:80`));
  assert.equal(found.hold('14:80'), undefined);
  assert.deepEqual([...watched], ['10:80', '11:80', '12:80']);
  assert.equal(limits.hits('discovered_target_evictions'), 1);
  clock.advance(1000);
  found.release(hold('14:80'));
  assert.equal(found.hold('15:80'), undefined, 'one a second');
});
