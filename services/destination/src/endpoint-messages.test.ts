import assert from 'node:assert/strict';
import test from 'node:test';
import { create, fromBinary, type JsonValue, toBinary, toJson } from '@bufbuild/protobuf';
import { tcpAddressToHostPort } from '@mesh/control-api/convert';
import { type Update, UpdateSchema, WeightedAddrSchema } from '@mesh/control-api/gen/linkerd/destination_pb';
import { grpcLimits } from '@mesh/control-api/limits';
import fc from 'fast-check';
import { type Told, updatesBetween, weightedAddr } from './endpoint-messages.ts';
import type { EndpointView, Resolution } from './endpoints.ts';

const view: fc.Arbitrary<EndpointView> = fc.record({
  address: fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'),
  port: fc.constantFrom(80, 81),
  tier: fc.nat({ max: 2 }),
  readyBehind: fc.nat({ max: 3 }),
  identity: fc.constantFrom(undefined, 'a.identity', 'b.identity'),
  hint: fc.constantFrom('h2' as const, 'opaque' as const, 'none' as const),
  transportPort: fc.constantFrom(0, 4143),
  authority: fc.constantFrom(undefined, 'cart.shop.svc.cluster.local:80'),
  labels: fc.dictionary(fc.constantFrom('pod', 'zone'), fc.constantFrom('x', 'y')),
});

const resolution: fc.Arbitrary<Resolution> = fc.oneof(
  { arbitrary: fc.constant<Resolution>({ kind: 'unknown' }), weight: 1 },
  {
    weight: 6,
    arbitrary: fc
      .tuple(fc.array(view, { maxLength: 6 }), fc.constantFrom(1, 2))
      .map(([views, enoughReady]) => ({
        kind: 'known' as const,
        endpoints: new Map(views.map((one) => [`${one.address}:${one.port}`, one])),
        labels: { service: 'cart' },
        enoughReady,
        nodeLocal: false,
      })),
  },
);

/** A client as the contract describes it. */
class Client {
  known: Map<string, JsonValue> = new Map();
  exists = true;
  /** Undefined without endpoints, where it says nothing. */
  enoughReady: number | undefined;
  #fresh = true;

  apply({ update }: Update): void {
    if (update.case === 'add') {
      if (this.#fresh) this.known.clear();
      this.#fresh = false;
      this.exists = true;
      this.enoughReady = update.value.enoughReady;
      assert.notEqual(update.value.addrs.length, 0, 'an empty add says nothing');
      for (const entry of update.value.addrs) {
        this.known.set(this.#key(entry.addr), toJson(WeightedAddrSchema, entry));
      }
    } else if (update.case === 'remove') {
      assert.equal(this.#fresh, false, 'a stream does not begin with a removal');
      for (const address of update.value.addrs)
        assert.ok(this.known.delete(this.#key(address)), 'removes what is known');
    } else if (update.case === 'noEndpoints') {
      this.#fresh = false;
      this.known.clear();
      this.enoughReady = undefined;
      this.exists = update.value.exists;
    }
  }

  #key(address: Parameters<typeof tcpAddressToHostPort>[0]): string {
    const found = tcpAddressToHostPort(address);
    assert.ok(found !== undefined);
    return `${found.host}:${found.port}`;
  }
}

/** What a client that asks now is told. */
function freshClient(state: Resolution): Client {
  const client = new Client();
  tell(client, { kind: 'nothing' }, state);
  return client;
}

function tell(client: Client, told: Told, next: Resolution): number {
  const updates = updatesBetween(told, next, undefined);
  for (const update of updates) {
    client.apply(fromBinary(UpdateSchema, toBinary(UpdateSchema, create(UpdateSchema, update))));
  }
  return updates.length;
}

test('deltas bring every client to the state that a fresh one is told', () => {
  fc.assert(
    fc.property(fc.array(resolution, { minLength: 1, maxLength: 8 }), (states) => {
      const client = new Client();
      let told: Told = { kind: 'nothing' };
      for (const state of states) {
        const count = tell(client, told, state);
        if (told.kind === 'nothing') assert.ok(count > 0, 'the first answer is never silence');
        told = state;
        const expected = freshClient(state);
        assert.deepEqual(client.known, expected.known);
        assert.equal(client.exists, expected.exists);
        assert.equal(client.enoughReady, expected.enoughReady);
        assert.equal(tell(client, told, state), 0, 'nothing changed, nothing to say');
      }
    }),
  );
});

test('the difference between two sets is worked out once for all clients of a zone', () => {
  const state = (count: number): Resolution => ({
    kind: 'known',
    endpoints: new Map(
      Array.from({ length: count }, (_, index): [string, EndpointView] => {
        const address = `10.0.0.${index}`;
        const plain = { port: 80, tier: 0, readyBehind: 0, identity: undefined, hint: 'none' } as const;
        return [
          `${address}:80`,
          { ...plain, address, authority: undefined, transportPort: 0, labels: { zone: 'a' } },
        ];
      }),
    ),
    labels: {},
    enoughReady: 1,
    nodeLocal: false,
  });
  const [one, two, three] = [state(1), state(2), state(3)];
  const first = updatesBetween(one, two, 'a');
  assert.equal(updatesBetween(one, two, 'a'), first);
  assert.notDeepEqual(updatesBetween(one, two, 'b'), first, 'another zone');
  assert.notDeepEqual(updatesBetween(one, three, 'a'), first, 'another step');
  assert.deepEqual(updatesBetween(one, two, 'a'), first);
});

test('a large set is told in messages that clients take', () => {
  const views = Array.from({ length: 12_000 }, (_, index): [string, EndpointView] => {
    const address = `10.0.${index >> 8}.${index & 255}`;
    const identity = 'checkout.production.serviceaccount.identity.mesh.eu-central.mesh.local';
    const labels = {
      pod: `checkout-7d4b9c6f5d-${index}`,
      deployment: 'checkout',
      serviceaccount: 'checkout',
    };
    const plain = { port: 80, tier: 0, readyBehind: 0, authority: undefined, transportPort: 4143 };
    return [`${address}:80`, { ...plain, address, identity, hint: 'h2', labels }];
  });
  const state: Resolution = {
    kind: 'known',
    endpoints: new Map(views),
    labels: {},
    enoughReady: 1,
    nodeLocal: false,
  };
  const sizes = updatesBetween({ kind: 'nothing' }, state, undefined).map(
    (update) => toBinary(UpdateSchema, create(UpdateSchema, update)).length,
  );
  assert.ok(Math.max(...sizes) < grpcLimits.grpc_message_bytes.default / 4, sizes.join(' '));
  assert.ok(sizes.length < grpcLimits.grpc_queued_messages.default / 2);
  assert.equal(freshClient(state).known.size, views.length);
});

test('only what changed is sent', () => {
  const one: EndpointView = {
    address: '10.0.0.1',
    port: 80,
    tier: 0,
    readyBehind: 0,
    identity: undefined,
    hint: 'none',
    transportPort: 0,
    authority: undefined,
    labels: {},
  };
  const two = { ...one, address: '10.0.0.2' };
  const known = (...views: EndpointView[]): Resolution => ({
    kind: 'known',
    endpoints: new Map(views.map((entry) => [`${entry.address}:${entry.port}`, entry])),
    labels: {},
    enoughReady: 1,
    nodeLocal: false,
  });
  const updates = updatesBetween(known(one, two), known({ ...one }, { ...two, tier: 1 }), undefined);
  assert.equal(updates.length, 1);
  const [update] = updates;
  assert.ok(update?.update?.case === 'add');
  assert.equal(update.update.value.addrs?.length, 1);
});

test('where the client is decides whether an endpoint is near', () => {
  const base = {
    address: '10.0.0.1',
    port: 80,
    tier: 0,
    readyBehind: 0,
    identity: undefined,
    hint: 'none',
    transportPort: 0,
    authority: undefined,
  } as const;
  const at = (zone: string | undefined, client: string | undefined) =>
    weightedAddr({ ...base, labels: zone === undefined ? {} : { zone } }, client)?.metricLabels?.[
      'zone_locality'
    ];
  assert.equal(at('a', 'a'), 'local');
  assert.equal(at('a', 'b'), 'remote');
  assert.equal(at('a', undefined), 'unknown');
  assert.equal(at(undefined, 'a'), 'unknown');
});
