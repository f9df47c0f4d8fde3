import { jsonEqual } from '@mesh/kube/patch';
import type { Endpoint, EndpointSlice, Stored } from '@mesh/kube/types';
import type { AddressType, EndpointGroup, SlicePorts } from './service-endpoints.ts';

/** Endpoints in one slice at most, as in Kubernetes. */
export const maxEndpointsPerSlice = 100;

export interface SliceContent {
  addressType: AddressType;
  ports: SlicePorts;
  endpoints: Endpoint[];
}

export interface SlicePlan {
  create: SliceContent[];
  /** Existing slices that stay, with what they shall hold; most of the time they hold it already. */
  keep: { slice: Stored<EndpointSlice>; content: SliceContent }[];
  remove: Stored<EndpointSlice>[];
}

/**
 * Fits the wanted endpoints into slices with few writes: an endpoint stays in the slice it is in, new ones fill the
 * room that is left, and only the rest gets new slices. One slice is kept when there are no endpoints at all, so
 * that readers can tell "none" from "not known yet".
 */
export function planSlices(
  existing: readonly Stored<EndpointSlice>[],
  groups: readonly EndpointGroup[],
  addressType: AddressType,
): SlicePlan {
  const plan: SlicePlan = { create: [], keep: [], remove: [] };
  const unused = new Set(existing);
  const wanted: readonly EndpointGroup[] = groups.length === 0 ? [{ ports: [], endpoints: [] }] : groups;
  for (const group of wanted) {
    const usable = [...unused].filter(
      (slice) => slice.addressType === addressType && jsonEqual(slice.ports ?? [], group.ports),
    );
    packGroup(plan, { group, usable, unused, addressType });
  }
  plan.remove.push(...unused);
  return plan;
}

interface PackInput {
  group: EndpointGroup;
  usable: readonly Stored<EndpointSlice>[];
  /** Slices no group has claimed; packing takes its own out. */
  unused: Set<Stored<EndpointSlice>>;
  addressType: AddressType;
}

function packGroup(plan: SlicePlan, { group, usable, unused, addressType }: PackInput): void {
  const pending = new Map(group.endpoints.map((endpoint) => [identityOf(endpoint), endpoint]));
  const { ports } = group;
  const kept = usable.map((slice) => {
    const endpoints: Endpoint[] = [];
    for (const known of slice.endpoints ?? []) {
      const id = identityOf(known);
      const fresh = pending.get(id);
      if (fresh === undefined || endpoints.length >= maxEndpointsPerSlice) continue;
      endpoints.push(fresh);
      pending.delete(id);
    }
    return { slice, content: { addressType, ports, endpoints } };
  });
  const rest = [...pending.values()];
  for (const { content } of kept) {
    content.endpoints.push(...rest.splice(0, maxEndpointsPerSlice - content.endpoints.length));
  }
  const empty = group.endpoints.length === 0;
  for (const [index, { slice, content }] of kept.entries()) {
    if (content.endpoints.length === 0 && !(empty && index === 0)) continue;
    unused.delete(slice);
    plan.keep.push({ slice, content });
  }
  if (empty && kept.length === 0) plan.create.push({ addressType, ports, endpoints: [] });
  while (rest.length > 0) {
    plan.create.push({ addressType, ports, endpoints: rest.splice(0, maxEndpointsPerSlice) });
  }
}

function identityOf({ addresses, targetRef }: Endpoint): string {
  return `${targetRef?.uid ?? ''} ${addresses.join(',')}`;
}
