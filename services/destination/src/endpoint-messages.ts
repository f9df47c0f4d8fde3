/** Endpoints as messages of the control API, and the difference between two sets of them. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, tcpAddress } from '@mesh/control-api/convert';
import type { UpdateSchema, WeightedAddrSchema } from '@mesh/control-api/gen/linkerd/destination_pb';
import type { EndpointSet, EndpointView, Resolution } from './endpoints.ts';

export type UpdateMessage = MessageInitShape<typeof UpdateSchema>;
export type WeightedAddrMessage = MessageInitShape<typeof WeightedAddrSchema>;

/** Weight of one ordinary endpoint. */
const unitWeight = 10_000;
/** In one message, of 400 bytes each: a client takes one of 4 MiB at most (`grpc_message_bytes`). */
const mostAddresses = 1000;
const keepAlive = { interval: durationFromMs(10_000), timeout: durationFromMs(3000), whileIdle: true };

/** Undefined for an address that the control API cannot carry. `clientZone` is the zone of who asks, if known. */
export function weightedAddr(
  view: EndpointView,
  clientZone: string | undefined,
): WeightedAddrMessage | undefined {
  const addr = tcpAddress(view.address, view.port);
  if (addr === undefined) return undefined;
  return {
    addr,
    weight: unitWeight,
    tier: view.tier,
    readyBehind: view.readyBehind,
    metricLabels: { ...view.labels, zone_locality: locality(view.labels['zone'], clientZone) },
    ...(view.identity === undefined
      ? {}
      : {
          tlsIdentity: {
            strategy: { case: 'dnsLikeIdentity' as const, value: { name: view.identity } },
            serverName: { name: view.identity },
          },
        }),
    ...(view.hint === 'none' ? {} : { protocolHint: protocolHint(view.hint, view.transportPort) }),
    ...(view.authority === undefined ? {} : { authorityOverride: { authorityOverride: view.authority } }),
    ...(view.identity === undefined ? {} : { http2: { keepAlive } }),
  };
}

function protocolHint(hint: 'h2' | 'opaque', inboundPort: number) {
  return {
    protocol: hint === 'h2' ? { case: 'h2' as const, value: {} } : { case: 'opaque' as const, value: {} },
    ...(inboundPort === 0 ? {} : { opaqueTransport: { inboundPort } }),
  };
}

function locality(zone: string | undefined, clientZone: string | undefined): string {
  if (zone === undefined || clientZone === undefined) return 'unknown';
  return zone === clientZone ? 'local' : 'remote';
}

/** What a client was told last: nothing yet, that the target is unknown, or endpoints. */
export type Told = { readonly kind: 'nothing' } | Resolution;

/**
 * Messages that bring a client from `told` to `next`; none when it knows already. The first message of a stream
 * replaces what the client had, so an empty set is said by NoEndpoints and never by silence. Of clients that were told the same, all
 * but the first of each zone get what was worked out for that one.
 */
export function updatesBetween(
  told: Told,
  next: Resolution,
  clientZone: string | undefined,
): readonly UpdateMessage[] {
  if (told.kind === 'nothing') return difference(told, next, clientZone);
  let step = steps.get(told);
  if (step?.next.deref() !== next) {
    step = { next: new WeakRef(next), byZone: new Map() };
    steps.set(told, step);
  }
  const known = step.byZone.get(clientZone);
  if (known !== undefined) return known;
  const updates = difference(told, next, clientZone);
  step.byZone.set(clientZone, updates);
  return updates;
}

interface Step {
  /** Weak: else one client that reads nothing would keep alive all that the others were told since. */
  readonly next: WeakRef<Resolution>;
  readonly byZone: Map<string | undefined, readonly UpdateMessage[]>;
}

/** From what was told to what was told next. */
const steps: WeakMap<Told, Step> = new WeakMap();

function difference(told: Told, next: Resolution, clientZone: string | undefined): UpdateMessage[] {
  if (next.kind === 'unknown') {
    return told.kind === 'unknown' ? [] : [{ update: { case: 'noEndpoints', value: { exists: false } } }];
  }
  const before: EndpointSet = told.kind === 'known' ? told.endpoints : new Map();
  if (next.endpoints.size === 0) {
    return told.kind === 'known' && before.size === 0
      ? []
      : [{ update: { case: 'noEndpoints', value: { exists: true } } }];
  }
  const updates: UpdateMessage[] = [];
  const changed = [...next.endpoints].filter(([key, view]) => !sameView(before.get(key), view));
  // A set is never empty, so a threshold that changed alone travels with an endpoint that did not.
  if (changed.length === 0 && told.kind === 'known' && told.enoughReady !== next.enoughReady)
    changed.push(...[...next.endpoints].slice(0, 1));
  const addrs = changed
    .map(([, view]) => weightedAddr(view, clientZone))
    .filter((message) => message !== undefined);
  for (let from = 0; from < addrs.length; from += mostAddresses) {
    updates.push({
      update: {
        case: 'add',
        value: {
          addrs: addrs.slice(from, from + mostAddresses),
          metricLabels: { ...next.labels },
          enoughReady: next.enoughReady,
        },
      },
    });
  }
  const removed = [...before]
    .filter(([key]) => !next.endpoints.has(key))
    .map(([, view]) => tcpAddress(view.address, view.port))
    .filter((address) => address !== undefined);
  if (removed.length > 0) updates.push({ update: { case: 'remove', value: { addrs: removed } } });
  return updates;
}

function sameView(one: EndpointView | undefined, other: EndpointView): boolean {
  return one !== undefined && fingerprint(one) === fingerprint(other);
}

const fingerprints: WeakMap<EndpointView, string> = new WeakMap();

function fingerprint(view: EndpointView): string {
  const known = fingerprints.get(view);
  if (known !== undefined) return known;
  const { labels, ...rest } = view;
  const made = JSON.stringify([Object.entries(rest).sort(byFirst), Object.entries(labels).sort(byFirst)]);
  fingerprints.set(view, made);
  return made;
}

function byFirst([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
