/** Endpoints in other clusters, from the slices that the mirror controller keeps. */
import { annotationOf, labelOf } from '@mesh/kube/objects';
import type { Endpoint, EndpointSlice, Service } from '@mesh/kube/types';
import { annotations, labels } from '@mesh/multicluster/names';
import { parseIdentity } from '@mesh/trust/names';
import { type ClusterObjects, slicesOf } from './cluster-objects.ts';
import type { EndpointView } from './endpoints.ts';
import { servicePortName, slicePort } from './service-ports.ts';
import { inboundPort, type Settings } from './settings.ts';
import type { Target } from './target.ts';

export interface RemoteContext {
  target: Target;
  settings: Settings;
  /** Of peers that are alive. */
  tier: number;
  demotedTier: number;
  opaque: boolean;
  /** Name of the service in the peers, where slices do not say it. */
  exportedName: string | undefined;
}

interface Candidate {
  /** The address is a gateway, not a pod of a flat network. */
  readonly gateway: boolean;
  readonly address: string;
  readonly port: number;
  readonly slice: EndpointSlice;
  readonly identity: string;
}

/**
 * Every slice names its peer; one without a peer, of this cluster, or without an identity in the peer's own domain
 * is left out: what comes from a peer is never called in plaintext or under a foreign name.
 */
export function remoteEndpoints(
  objects: ClusterObjects,
  service: Service,
  context: RemoteContext,
): EndpointView[] {
  const { target, settings } = context;
  const byPeer = new Map<string, Candidate[]>();
  for (const slice of slicesOf(objects, target.namespace, service.metadata?.name ?? '')) {
    const peer = labelOf(slice, labels.clusterName);
    if (peer === undefined || peer === settings.cluster || slice.addressType !== 'IPv4') continue;
    const gatewayIdentity = annotationOf(slice, annotations.gatewayIdentity);
    const identity = gatewayIdentity ?? annotationOf(slice, annotations.remoteIdentity);
    if (identity === undefined || parseIdentity(identity, settings.trustSuffix)?.cluster !== peer) continue;
    const port = remotePort(slice, service, target.port);
    if (port === undefined) continue;
    for (const endpoint of slice.endpoints ?? []) {
      if (!isCallable(endpoint)) continue;
      if (target.hostname !== undefined && endpoint.hostname !== target.hostname) continue;
      for (const address of endpoint.addresses) {
        const known = byPeer.get(peer);
        const candidate = { gateway: gatewayIdentity !== undefined, address, port, slice, identity };
        if (known === undefined) byPeer.set(peer, [candidate]);
        else known.push(candidate);
      }
    }
  }
  return [...byPeer].flatMap(([peer, candidates]) => peerEndpoints(peer, candidates, { service, context }));
}

/**
 * Gateways are never ready for callers without a proxy, which would send plaintext there; `serving` is for us. Where
 * only `ready` is given, it counts.
 */
function isCallable({ conditions }: Endpoint): boolean {
  return conditions?.serving ?? conditions?.ready ?? true;
}

interface PeerContext {
  service: Service;
  context: RemoteContext;
}

function peerEndpoints(
  peer: string,
  candidates: Candidate[],
  { service, context }: PeerContext,
): EndpointView[] {
  const { target, tier, demotedTier, opaque } = context;
  const unique = new Map(
    candidates.map((candidate) => [`${candidate.address}:${candidate.port}`, candidate]),
  );
  const sorted = [...unique]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([, candidate]) => candidate);
  const ready = Math.max(...sorted.map(({ slice }) => readyCount(slice)));
  return sorted.map(({ gateway, address, port, slice, identity }, position) => {
    const remoteName = remoteNameOf(slice, service, context);
    const [targetService = '', targetNamespace = target.namespace] = remoteName.split('.');
    const host = target.hostname === undefined ? remoteName : `${target.hostname}.${remoteName}`;
    const state = annotationOf(slice, annotations.peerState);
    return {
      address,
      port,
      tier: (state === undefined || state === 'alive') && ready > 0 ? tier : demotedTier,
      readyBehind: gateway ? share(ready, { of: sorted.length, position }) : 0,
      identity,
      hint: opaque ? 'opaque' : 'h2',
      transportPort: gateway ? port : inboundPort,
      authority: gateway ? `${host}:${target.port}` : undefined,
      labels: {
        target_cluster: peer,
        target_service: targetService,
        target_service_namespace: targetNamespace,
      },
    };
  });
}

/** Endpoints behind one of a peer's addresses: the whole divided so that the shares add up, none of them empty. */
function share(total: number, { of, position }: { of: number; position: number }): number {
  if (total === 0) return 0;
  return Math.max(1, Math.floor(total / of) + (position < total % of ? 1 : 0));
}

/** Without a count a peer weighs as one endpoint. */
function readyCount(slice: EndpointSlice): number {
  const text = annotationOf(slice, annotations.weight);
  if (text === undefined) return 1;
  return /^\d{1,7}$/.test(text) ? Number(text) : 1;
}

/** `<svc>.<ns>.svc.<domain>` in the peer. */
function remoteNameOf(
  slice: EndpointSlice,
  service: Service,
  { target, settings, exportedName }: RemoteContext,
): string {
  const written =
    annotationOf(slice, annotations.remoteName) ?? annotationOf(service, annotations.remoteName);
  if (written !== undefined) return written;
  const peer = labelOf(slice, labels.clusterName) ?? '';
  const name = exportedName ?? withoutSuffix(service.metadata?.name ?? '', `-${peer}`);
  return `${name}.${target.namespace}.svc.${settings.clusterDomain}`;
}

function withoutSuffix(text: string, suffix: string): string {
  return text.endsWith(suffix) ? text.slice(0, -suffix.length) : text;
}

/** All ports of a service lead to one port of the gateway, so a slice with a single port serves any of them. */
function remotePort(slice: EndpointSlice, service: Service, port: number): number | undefined {
  const name = servicePortName(service, port);
  const named = name === undefined ? undefined : slicePort(slice, name);
  if (named !== undefined) return named;
  const numbers = new Set((slice.ports ?? []).map((entry) => entry.port));
  const [only] = numbers;
  return numbers.size === 1 ? only : undefined;
}
