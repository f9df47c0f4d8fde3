import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  type Event,
  EventSchema,
  Export_Mode as Mode,
} from '@mesh/control-api/gen/mesh/federation/v1/federation_pb';
import fc from 'fast-check';
import { PeerView, protocolVersion, shrinkHoldMs } from './peer-view.ts';

type Body = NonNullable<Parameters<typeof create<typeof EventSchema>>[1]>['event'];

/** Numbers events the way a server does. */
class Script {
  readonly epoch: bigint;
  #sequence = 0n;

  constructor(epoch = 1n) {
    this.epoch = epoch;
  }

  event(body: Body): Event {
    this.#sequence++;
    return create(EventSchema, {
      epoch: this.epoch,
      seq: this.#sequence,
      ...(body === undefined ? {} : { event: body }),
    });
  }

  hello(cluster = 'west', protocol = protocolVersion): Event {
    return this.event({ case: 'hello', value: { cluster, protocol } });
  }

  export(name: string): Event {
    return this.event({ case: 'export', value: { namespace: 'shop', name, mode: Mode.GATEWAY } });
  }

  removed(name: string): Event {
    return this.event({ case: 'removed', value: { namespace: 'shop', name } });
  }

  end(count: number): Event {
    return this.event({ case: 'snapshotEnd', value: { count } });
  }
}

function subscribe(view: PeerView, names: readonly string[], now = 0, epoch = 1n): Script {
  const script = new Script(epoch);
  view.begin();
  for (const event of [
    script.hello(),
    ...names.map((name) => script.export(name)),
    script.end(names.length),
  ]) {
    assert.equal(view.receive(event, now).fault, undefined);
  }
  return script;
}

const fresh = (known: string[] = [], maxExports = 100): PeerView =>
  new PeerView({ cluster: 'west', maxExports, known });

test('nothing may be removed before the first snapshot is whole', () => {
  const view = fresh(['shop/cart']);
  assert.equal(view.mustKeep('shop/cart'), true);
  const script = new Script();
  view.begin();
  view.receive(script.hello(), 0);
  view.receive(script.export('catalog'), 0);
  assert.equal(view.mustKeep('shop/cart'), true);
  assert.equal(view.synced, false);
});

test('a second snapshot removes what it does not bring, when that is at most half', () => {
  const view = fresh();
  subscribe(view, ['a', 'b', 'c', 'd']);
  const script = new Script(2n);
  view.begin();
  for (const event of [script.hello(), script.export('a'), script.export('b')]) view.receive(event, 0);
  assert.deepEqual(view.receive(script.end(2), 0).keys, ['shop/c', 'shop/d']);
  assert.equal(view.size, 2);
});

test('an empty snapshot is held for its time, then counts', () => {
  const view = fresh();
  subscribe(view, ['a', 'b', 'c']);
  subscribe(view, [], 1000, 2n);
  assert.equal(view.size, 3);
  assert.equal(view.heldRemovals, 3);
  assert.equal(view.mustKeep('shop/a'), true);
  assert.deepEqual(view.settle(1000 + shrinkHoldMs - 1).keys, []);
  assert.deepEqual([...view.settle(1000 + shrinkHoldMs).keys].sort(), ['shop/a', 'shop/b', 'shop/c']);
  assert.equal(view.size, 0);
  assert.equal(view.mustKeep('shop/a'), false);
});

test('after a restart the first snapshot is measured against the objects that exist', () => {
  const view = fresh(['shop/a', 'shop/b', 'shop/c']);
  subscribe(view, []);
  assert.equal(view.heldRemovals, 3);
  assert.equal(view.mustKeep('shop/b'), true);
});

test('what comes back while its removal is held is not removed', () => {
  const view = fresh();
  subscribe(view, ['a', 'b', 'c']);
  const script = subscribe(view, [], 0, 2n);
  view.receive(script.export('b'), 10);
  assert.deepEqual([...view.settle(shrinkHoldMs).keys].sort(), ['shop/a', 'shop/c']);
  assert.equal(view.get('shop/b')?.name, 'b');
});

test('each snapshot that loses too much is held for its whole time, whatever was held before', () => {
  const view = fresh();
  subscribe(view, ['a', 'b', 'c']);
  const script = subscribe(view, ['a'], 0, 2n);
  for (const back of ['b', 'c']) view.receive(script.export(back), 10);
  assert.equal(view.heldRemovals, 0);
  subscribe(view, [], 59_000, 3n);
  assert.deepEqual(view.settle(60_000).keys, []);
  assert.equal(view.size, 3);
  assert.equal(view.settle(59_000 + shrinkHoldMs).keys.length, 3);
});

test('what two snapshots lost waits from the first on', () => {
  const view = fresh();
  subscribe(view, ['a', 'b', 'c']);
  subscribe(view, ['c'], 0, 2n);
  subscribe(view, [], 50_000, 3n);
  assert.deepEqual([...view.settle(shrinkHoldMs).keys].sort(), ['shop/a', 'shop/b']);
  assert.deepEqual(view.settle(50_000 + shrinkHoldMs).keys, ['shop/c']);
});

test('what an earlier run left goes at its age, too, when no snapshot came', () => {
  const view = fresh(['shop/a', 'shop/b']);
  const script = new Script();
  view.begin();
  for (const event of [script.hello(), script.export('b'), script.export('c')]) view.receive(event, 0);
  assert.equal(view.empty, false);
  assert.deepEqual([...view.clear().keys].sort(), ['shop/a', 'shop/b', 'shop/c']);
  assert.equal(view.empty, true);
  assert.equal(view.mustKeep('shop/a'), false);
});

test('a delta removal counts at once', () => {
  const view = fresh();
  const script = subscribe(view, ['a']);
  assert.deepEqual(view.receive(script.removed('a'), 0).keys, ['shop/a']);
  assert.equal(view.size, 0);
});

test('a gap or a change of epoch in the sequence is a fault, and changes nothing', () => {
  for (const skip of ['sequence', 'epoch'] as const) {
    const view = fresh();
    const script = subscribe(view, ['a']);
    const next =
      skip === 'sequence' ? (script.export('x'), script.removed('a')) : new Script(9n).removed('a');
    assert.equal(view.receive(next, 0).fault?.reason, 'SequenceGap');
    assert.equal(view.size, 1);
  }
});

test('a snapshot whose count disagrees removes nothing', () => {
  const view = fresh();
  subscribe(view, ['a', 'b', 'c']);
  const script = new Script(2n);
  view.begin();
  view.receive(script.hello(), 0);
  view.receive(script.export('a'), 0);
  assert.equal(view.receive(script.end(2), 0).fault?.reason, 'BadSnapshot');
  assert.equal(view.size, 3);
});

test('another cluster or another protocol behind the gateway is a fault with its name', () => {
  const wrong = fresh();
  wrong.begin();
  const cluster = wrong.receive(new Script().hello('north'), 0).fault;
  assert.equal(cluster?.reason, 'WrongCluster');
  assert.match(cluster?.message ?? '', /"north"/);
  const old = fresh();
  old.begin();
  assert.equal(
    old.receive(new Script().hello('west', protocolVersion + 1), 0).fault?.reason,
    'ProtocolMismatch',
  );
});

test('a peer cannot export more than the limit', () => {
  const view = fresh([], 2);
  const script = new Script();
  view.begin();
  for (const event of [script.hello(), script.export('a'), script.export('b')])
    assert.equal(view.receive(event, 0).fault, undefined);
  assert.equal(view.receive(script.export('c'), 0).fault?.reason, 'TooManyExports');
  assert.equal(view.size, 2);
});

test('a peer cannot send more bytes than are kept, however few exports it calls them', () => {
  const view = fresh();
  const script = new Script();
  view.begin();
  view.receive(script.hello(), 0);
  const labels = { app: 'x'.repeat(3_000_000) };
  const faults: (string | undefined)[] = [];
  for (let index = 0; index < 24; index++) {
    const value = { namespace: 'shop', name: `n${index}`, labels };
    faults.push(view.receive(script.event({ case: 'export', value }), 0).fault?.reason);
  }
  assert.equal(view.size, 22);
  assert.deepEqual(new Set(faults.slice(0, 22)), new Set([undefined]));
  assert.deepEqual(faults.slice(22), ['TooManyExports', 'TooManyExports']);
  // The same again takes nothing more, and what goes makes room.
  view.begin();
  const again = new Script(2n);
  view.receive(again.hello(), 0);
  const same = { namespace: 'shop', name: 'n0', labels };
  assert.equal(view.receive(again.event({ case: 'export', value: same }), 0).fault, undefined);
  view.receive(again.removed('n1'), 0);
  const next = { namespace: 'shop', name: 'n99', labels };
  assert.equal(view.receive(again.event({ case: 'export', value: next }), 0).fault, undefined);
});

test('what a peer exported before does not count against what it exports now', () => {
  const view = fresh([], 2);
  subscribe(view, ['a', 'b']);
  const script = subscribe(view, ['c', 'd'], 0, 2n);
  assert.equal(view.heldRemovals, 2);
  assert.equal(view.receive(script.export('e'), 0).fault?.reason, 'TooManyExports');
  // However many streams break off, what they brought is bounded.
  for (let epoch = 3n; epoch < 9n; epoch++) {
    const broken = new Script(epoch);
    view.begin();
    view.receive(broken.hello(), 0);
    for (const name of ['f', 'g']) view.receive(broken.export(`${name}${epoch}`), 0);
  }
  assert.equal(view.size, 4);
});

test('whatever snapshots and deltas say, the view ends at what the last whole snapshot and its deltas mean', () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
  const stream = fc.record({
    snapshot: fc.uniqueArray(name),
    whole: fc.boolean(),
    deltas: fc.array(fc.record({ name, removed: fc.boolean() }), { maxLength: 6 }),
  });
  fc.assert(
    fc.property(fc.array(stream, { minLength: 1, maxLength: 5 }), (streams) => {
      const view = fresh();
      let expected = new Set<string>();
      let now = 0;
      streams.forEach(({ snapshot, whole, deltas }, index) => {
        const script = new Script(BigInt(index + 1));
        view.begin();
        view.receive(script.hello(), now);
        for (const each of snapshot) view.receive(script.export(each), now);
        if (!whole) {
          // The stream broke off: what it brought is known, what it did not bring stays.
          expected = new Set([...expected, ...snapshot]);
          return;
        }
        view.receive(script.end(snapshot.length), now);
        now += shrinkHoldMs;
        view.settle(now);
        expected = new Set(snapshot);
        for (const delta of deltas) {
          view.receive(delta.removed ? script.removed(delta.name) : script.export(delta.name), now);
          if (delta.removed) expected.delete(delta.name);
          else expected.add(delta.name);
        }
      });
      assert.deepEqual(Array.from(view.keys(), (key) => view.get(key)?.name).sort(), [...expected].sort());
    }),
  );
});
