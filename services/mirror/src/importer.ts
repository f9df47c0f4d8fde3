/**
 * Brings one exported service of one peer home: level-triggered per (peer, service), so that a failing peer or a bad
 * record never touches another. What is written is only the difference; what is deleted is only what mirroring made.
 */
import type { Clock } from '@mesh/clock/clock';
import { isNotFound } from '@mesh/kube/api-error';
import { ensureObject } from '@mesh/kube/apply';
import type { KubeClient } from '@mesh/kube/client';
import type { ReconcileResult } from '@mesh/kube/controller';
import type { Informer } from '@mesh/kube/informer';
import { annotationOf, labelOf, parseKey } from '@mesh/kube/objects';
import { endpointSlices, services as servicesType } from '@mesh/kube/resources';
import type { EndpointSlice, Namespace, Service, Stored } from '@mesh/kube/types';
import type { ImportedService, LinkSpec } from '@mesh/multicluster/link';
import {
  annotations,
  exportRequest,
  federatedName,
  labels,
  mirrorName,
  type PeerState,
} from '@mesh/multicluster/names';
import { mirrorService, mirrorSlices, sourceServiceAnnotation, weightMatters } from './desired.ts';
import { importRecord, type ImportRecord } from './import-record.ts';
import type { PeerView } from './peer-view.ts';

/** What the importer needs to know of a peer. */
export interface Peer {
  link: LinkSpec;
  view: PeerView;
  state: PeerState;
  /** Resolved gateway addresses, IPv4. */
  gateways: readonly string[];
}

interface ImporterOptions {
  client: KubeClient;
  clock: Clock;
  peer: (cluster: string) => Peer | undefined;
  services: Informer<Service>;
  /** Indexed by `source` (`cluster|namespace/name`), see `importIndex`. */
  slices: Informer<EndpointSlice>;
  namespaces: Informer<Namespace>;
  /** Called with the outcome of each reconcile, for the Link's status. */
  onOutcome: (cluster: string, key: string, outcome: ImportedService | undefined) => void;
}

/** On a namespace: take federated services of peers even without a local member. */
export const acceptFederatedAnnotation = 'mirror.mesh.io/accept-federated';
/** Weights are written at most this often (design D8). */
const weightIntervalMs = 1000;

/** `cluster|namespace/name`, the key of the work queue. */
export function importKey(cluster: string, key: string): string {
  return `${cluster}|${key}`;
}

export const importIndex = {
  source: (object: Service | EndpointSlice): string[] => {
    const cluster = object.metadata?.labels?.[labels.clusterName];
    const source = annotationOf(object, sourceServiceAnnotation);
    return cluster === undefined || source === undefined ? [] : [importKey(cluster, source)];
  },
  cluster: (object: Service | EndpointSlice): string[] => {
    const cluster = object.metadata?.labels?.[labels.clusterName];
    return cluster === undefined || object.metadata?.labels?.[labels.mirroredService] !== 'true'
      ? []
      : [cluster];
  },
};

type Verdict =
  | { state: 'Mirrored'; names: string[]; record: ImportRecord }
  | { state: 'Refused' | 'Waiting'; reason: string; message: string };

export class Importer {
  readonly #options: ImporterOptions;
  readonly #weights: Map<string, { shown: number; at: number }> = new Map();

  constructor(options: ImporterOptions) {
    this.#options = options;
  }

  async reconcile(queueKey: string): Promise<ReconcileResult> {
    const bar = queueKey.indexOf('|');
    const cluster = queueKey.slice(0, bar);
    const key = queueKey.slice(bar + 1);
    const { peer: peerOf, onOutcome } = this.#options;
    const peer = peerOf(cluster);
    const sent = peer?.link.import === false ? undefined : peer?.view.get(key);
    if (peer === undefined || sent === undefined) {
      if (peer !== undefined && peer.link.import !== false && peer.view.mustKeep(key)) {
        await this.#mark(queueKey, peer.state);
        return;
      }
      await this.#removeAll(queueKey, new Set());
      this.#weights.delete(queueKey);
      onOutcome(cluster, key, undefined);
      return;
    }
    const verdict = this.#judge(peer, sent);
    const { namespace = '', name } = parseKey(key);
    if (verdict.state !== 'Mirrored') {
      // Refused or waiting: whatever an earlier, acceptable record made goes.
      await this.#removeAll(queueKey, new Set());
      onOutcome(cluster, key, {
        namespace,
        name,
        mirror: '',
        state: verdict.state,
        reason: verdict.reason,
        message: verdict.message,
      });
      return;
    }
    const again = await this.#write(queueKey, peer, verdict);
    onOutcome(cluster, key, {
      namespace,
      name,
      mirror: verdict.names.join(','),
      state: 'Mirrored',
      reason: 'Mirrored',
      message: `${verdict.record.readyEndpoints} ready in ${cluster}`,
    });
    return again;
  }

  #judge({ link, view: _view, ...peer }: Peer, sent: Parameters<typeof importRecord>[0]): Verdict {
    const { namespaces, services } = this.#options;
    const record = importRecord(sent, link);
    if ('reason' in record) return { state: 'Refused', ...record };
    const { namespace, name } = record;
    const home = namespaces.get(undefined, namespace);
    if (home === undefined) {
      const message = `namespace ${namespace} does not exist here; it is imported as soon as it does`;
      return { state: 'Waiting', reason: 'MissingNamespace', message };
    }
    const names: string[] = [];
    if (record.pinned) {
      const pinned = mirrorName(name, link.cluster);
      if (typeof pinned !== 'string') return { state: 'Refused', ...pinned };
      names.push(pinned);
    }
    if (record.federated) {
      const local = services.get(namespace, name);
      const request = exportRequest(local?.metadata.labels);
      const member = request.kind === 'export' && request.federated;
      if (member || annotationOf(home, acceptFederatedAnnotation) === 'true') {
        const federated = federatedName(name);
        if (typeof federated !== 'string') return { state: 'Refused', ...federated };
        names.push(federated);
      } else if (!record.pinned) {
        const message = `no local member: label Service ${namespace}/${name} ${labels.federated}=member, or annotate the namespace ${acceptFederatedAnnotation}=true`;
        return { state: 'Waiting', reason: 'NoLocalMember', message };
      }
    }
    for (const mirror of names) {
      const existing = services.get(namespace, mirror);
      if (existing !== undefined && labelOf(existing, labels.mirroredService) !== 'true') {
        return {
          state: 'Refused',
          reason: 'NameConflict',
          message: `Service ${namespace}/${mirror} exists and is not a mirror; rename it or the exported service`,
        };
      }
    }
    if (record.path === 'gateway' && peer.gateways.length === 0) {
      return {
        state: 'Waiting',
        reason: 'NoGatewayAddress',
        message: `no address of ${link.gatewayAddresses.join(', ')} is known yet`,
      };
    }
    return { state: 'Mirrored', names, record };
  }

  async #write(
    queueKey: string,
    peer: Peer,
    { names, record }: { names: string[]; record: ImportRecord },
  ): Promise<ReconcileResult> {
    const { client, services, slices } = this.#options;
    const { weight, laterMs } = this.#weight(queueKey, record.readyEndpoints);
    const keep = new Set<string>();
    for (const name of names) {
      const pinned = name === mirrorName(record.name, peer.link.cluster);
      const service = mirrorService({ name, record, ...(pinned ? { cluster: peer.link.cluster } : {}) });
      keep.add(`Service/${name}`);
      await ensureObject(client, servicesType, service, { current: services.get(record.namespace, name) });
      const { link, gateways, state } = peer;
      for (const slice of mirrorSlices({ service: name, record, link, gateways, state, weight })) {
        keep.add(`EndpointSlice/${slice.metadata.name}`);
        await ensureObject(client, endpointSlices, slice, {
          current: slices.get(record.namespace, slice.metadata.name),
          exact: ['endpoints', 'ports'],
        });
      }
    }
    await this.#removeAll(queueKey, keep);
    return laterMs === undefined ? undefined : { requeueAfterMs: laterMs };
  }

  /** The weight to show now, and when a smaller change should be looked at again. */
  #weight(queueKey: string, ready: number): { weight: number; laterMs: number | undefined } {
    const now = this.#options.clock.now();
    const known = this.#weights.get(queueKey);
    if (known === undefined || weightMatters(known.shown, ready)) {
      const waitMs =
        known === undefined || ready === 0 || known.shown === 0 ? 0 : known.at + weightIntervalMs - now;
      if (waitMs > 0 && known !== undefined) return { weight: known.shown, laterMs: waitMs };
      this.#weights.set(queueKey, { shown: ready, at: now });
      return { weight: ready, laterMs: undefined };
    }
    return { weight: known.shown, laterMs: undefined };
  }

  /** Nothing new is known of the peer: its slices stay, and say what became of it. */
  async #mark(queueKey: string, state: PeerState): Promise<void> {
    const { client, slices } = this.#options;
    for (const slice of slices.byIndex('source', queueKey)) {
      if (annotationOf(slice, annotations.peerState) === state) continue;
      const { namespace, name } = slice.metadata;
      const body = { metadata: { annotations: { [annotations.peerState]: state } } };
      await client.patch(endpointSlices, { namespace, name }, { patch: { type: 'merge', body } });
    }
  }

  /** Deletes what this import made and `keep` (`Kind/name`) does not name; federated Services go with their last slice. */
  async #removeAll(queueKey: string, keep: ReadonlySet<string>): Promise<void> {
    const { client, services, slices } = this.#options;
    for (const slice of slices.byIndex('source', queueKey)) {
      if (!keep.has(`EndpointSlice/${slice.metadata.name}`)) await remove(client, endpointSlices, slice);
    }
    for (const service of services.byIndex('source', queueKey)) {
      if (!keep.has(`Service/${service.metadata.name}`)) await remove(client, servicesType, service);
    }
    const { namespace = '', name } = parseKey(queueKey.slice(queueKey.indexOf('|') + 1));
    const federated = services.get(namespace, `${name}-federated`);
    if (federated === undefined || keep.has(`Service/${federated.metadata.name}`)) return;
    if (labelOf(federated, labels.mirroredService) !== 'true') return;
    const left = slices.byIndex('service', `${namespace}/${federated.metadata.name}`);
    if (left.every((slice) => importIndex.source(slice)[0] === queueKey))
      await remove(client, servicesType, federated);
  }
}

async function remove(
  client: KubeClient,
  type: typeof servicesType | typeof endpointSlices,
  object: Stored<Service> | Stored<EndpointSlice>,
): Promise<void> {
  const { namespace, name, uid } = object.metadata;
  try {
    await client.delete(type, { namespace, name }, { preconditions: { uid } });
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
  }
}
