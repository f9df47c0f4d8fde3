import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { tcpAddress } from '@mesh/control-api/convert';
import { type Update, UpdateSchema } from '@mesh/control-api/gen/linkerd/destination_pb';
import fc from 'fast-check';
import { EndpointSnapshot } from './stream-snapshot.ts';

const ports = fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { maxLength: 4 });

type Step =
  | { kind: 'add'; ports: number[]; zone: string; enoughReady: number; first: boolean }
  | { kind: 'remove'; ports: number[]; first: boolean }
  | { kind: 'none'; exists: boolean; first: boolean };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('add' as const),
      ports: ports.filter(({ length }) => length > 0),
      zone: fc.constantFrom('a', 'b'),
      enoughReady: fc.nat({ max: 2 }),
      first: fc.boolean(),
    }),
    // A stream never begins with a removal: it would have nothing to remove from.
    fc.record({ kind: fc.constant('remove' as const), ports, first: fc.constant(false) }),
    fc.record({ kind: fc.constant('none' as const), exists: fc.boolean(), first: fc.boolean() }),
  ),
  { maxLength: 12 },
);

function messageOf(step: Step): Update {
  const address = (port: number) => tcpAddress('10.0.0.1', port);
  switch (step.kind) {
    case 'add':
      return create(UpdateSchema, {
        update: {
          case: 'add',
          value: {
            addrs: step.ports.map((port) => ({ ...withAddress(address(port)), weight: port })),
            metricLabels: { zone: step.zone },
            enoughReady: step.enoughReady,
          },
        },
      });
    case 'remove':
      return create(UpdateSchema, {
        update: {
          case: 'remove',
          value: { addrs: step.ports.map(address).filter((addr) => addr !== undefined) },
        },
      });
    case 'none':
      return create(UpdateSchema, { update: { case: 'noEndpoints', value: { exists: step.exists } } });
  }
}

const withAddress = (addr: ReturnType<typeof tcpAddress>) => (addr === undefined ? {} : { addr });

/** What a data plane knows after these messages, by the rules of the API: port to zone and how many are enough, or none and why. */
function known(messages: readonly { message: Update; first: boolean }[]): unknown {
  let endpoints = new Map<number, string>();
  let fresh = true;
  let exists: boolean | undefined;
  let enoughReady = 0;
  for (const { message, first } of messages) {
    if (first) fresh = true;
    const { update } = message;
    if (update.case === 'add') {
      if (fresh) endpoints = new Map();
      fresh = false;
      exists = undefined;
      enoughReady = update.value.enoughReady;
      for (const { addr } of update.value.addrs)
        endpoints.set(addr?.port ?? 0, update.value.metricLabels['zone'] ?? '');
    } else if (update.case === 'remove' && !fresh) {
      for (const { port } of update.value.addrs) endpoints.delete(port);
      if (endpoints.size === 0) exists = true;
    } else if (update.case === 'noEndpoints') {
      fresh = false;
      endpoints = new Map();
      exists = update.value.exists;
    }
  }
  // Without endpoints there is nothing to be enough, and the next set says it anew.
  return {
    exists,
    enoughReady: endpoints.size === 0 ? 0 : enoughReady,
    endpoints: [...endpoints].sort(([one], [other]) => one - other),
  };
}

test('who follows late knows the same as who followed from the start, also of what comes next', () => {
  fc.assert(
    fc.property(steps, steps, (before, after) => {
      const stream = (list: readonly Step[], start: boolean) =>
        list.map((step, index) => ({
          message: messageOf(step),
          first: step.first || (start && index === 0),
        }));
      const early = stream(before, true);
      const snapshot = new EndpointSnapshot();
      for (const { message, first } of early) snapshot.apply(message, first);
      const replay = snapshot.messages().map((message, index) => ({ message, first: index === 0 }));
      const later = stream(after, before.length === 0);
      assert.deepEqual(known([...replay, ...later]), known([...early, ...later]));
    }),
    { numRuns: 500 },
  );
});
