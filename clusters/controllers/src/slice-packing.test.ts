import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Endpoint, EndpointSlice, Stored } from '@mesh/kube/types';
import type { EndpointGroup } from './service-endpoints.ts';
import { maxEndpointsPerSlice, planSlices, type SlicePlan } from './slice-packing.ts';

const ports = (port: number) => [{ name: 'web', port, protocol: 'TCP' }];
const endpoint = (id: number): Endpoint => ({
  addresses: [`10.0.${id >> 8}.${id & 255}`],
  targetRef: { kind: 'Pod', uid: `uid-${id}` },
});

let serial = 0;
function store(content: { ports: EndpointSlice['ports']; endpoints: Endpoint[] }): Stored<EndpointSlice> {
  const name = `slice-${serial++}`;
  return {
    metadata: { name, uid: name, resourceVersion: '1', creationTimestamp: '' },
    addressType: 'IPv4',
    ...(content.ports !== undefined && { ports: content.ports }),
    endpoints: content.endpoints,
  };
}

function carryOut(plan: SlicePlan): Stored<EndpointSlice>[] {
  return [...plan.keep.map(({ slice, content }) => ({ ...slice, ...content })), ...plan.create.map(store)];
}

function groupsOf(ids: readonly number[]): EndpointGroup[] {
  const groups = new Map<number, EndpointGroup>();
  for (const id of ids) {
    const port = 8080 + (id % 3);
    const group: EndpointGroup = groups.get(port) ?? { ports: ports(port), endpoints: [] };
    groups.set(port, group);
    group.endpoints.push(endpoint(id));
  }
  return [...groups.values()];
}

const idSet = fc.uniqueArray(fc.integer({ min: 0, max: 600 }), { maxLength: 500, size: 'max' });

test('whatever the history, each endpoint is in one slice with its ports, and no slice is too large', () => {
  fc.assert(
    fc.property(fc.array(idSet, { minLength: 1, maxLength: 4 }), (history) => {
      let slices: Stored<EndpointSlice>[] = [];
      for (const ids of history) {
        const before = new Map(slices.map((slice) => [slice.metadata.name, slice]));
        slices = carryOut(planSlices(slices, groupsOf(ids), 'IPv4'));
        const found = slices.flatMap((slice) =>
          (slice.endpoints ?? []).map(({ addresses }) => `${addresses[0]} ${slice.ports?.[0]?.port}`),
        );
        const wanted = ids.map((id) => `${endpoint(id).addresses[0]} ${8080 + (id % 3)}`);
        assert.deepEqual(found.sort(), wanted.sort());
        assert.ok(slices.every(({ endpoints }) => (endpoints ?? []).length <= maxEndpointsPerSlice));
        if (ids.length === 0) assert.equal(slices.length, 1, 'one empty slice says that there are none');
        else assert.ok(slices.every(({ endpoints }) => (endpoints ?? []).length > 0));
        for (const slice of slices) {
          const old = before.get(slice.metadata.name);
          const stay = (old?.endpoints ?? []).filter(({ addresses }) =>
            found.some((text) => text.startsWith(`${addresses[0]} `)),
          );
          assert.ok(
            stay.every(({ addresses }) => slice.endpoints?.some((one) => one.addresses[0] === addresses[0])),
            'endpoints do not move between slices',
          );
        }
      }
    }),
    { numRuns: 60 },
  );
});

test('a second plan for the same endpoints changes nothing', () => {
  const groups = groupsOf(Array.from({ length: 250 }, (_, id) => id));
  const slices = carryOut(planSlices([], groups, 'IPv4'));
  const again = planSlices(slices, groups, 'IPv4');
  assert.equal(again.create.length + again.remove.length, 0);
  for (const { slice, content } of again.keep) assert.deepEqual(slice.endpoints, content.endpoints);
});
