/**
 * Brings one exported service of one peer home: level-triggered per (peer, service), so that a failing peer or a bad
 * record never touches another. What is written is only the difference; what is deleted is only what mirroring made.
 */
import type { Clock } from '@mesh/clock/clock';
import { ensureObject } from '@mesh/kube/apply';
import type { KubeClient } from '@mesh/kube/client';
import type { ReconcileResult } from '@mesh/kube/controller';
import type { Informer } from '@mesh/kube/informer';
import { annotationOf, isDeleting, labelOf, parseKey, serviceNameLabel } from '@mesh/kube/objects';
import { endpointSlices, services as servicesType } from '@mesh/kube/resources';
import type { EndpointSlice, Namespace, Service, Stored } from '@mesh/kube/types';
import { importLimits } from '@mesh/multicluster/limits';
import type { ImportedService, LinkSpec } from '@mesh/multicluster/link';
import {
  annotations,
  exportRequest,
  federatedName,
  labels,
  mirrorName,
  type PeerState,
} from '@mesh/multicluster/names';
import type { Logger } from '@mesh/telemetry/log';
import { deleteExactly } from './delete.ts';
import { mirrorService, mirrorSlices, weightMatters } from './desired.ts';
import { type FederatedServices, isFederated } from './federated-services.ts';
import { importRecord, type ImportRecord } from './import-record.ts';
import type { ImportRefusal, ImportWait } from './link-reasons.ts';
import { noLonger } from './no-longer.ts';
import type { PeerView } from './peer-view.ts';
import { WriteBudget, type WriteBudgetOptions } from './write-budget.ts';

/** What the importer needs to know of a peer. */
export interface Peer {
  link: LinkSpec;
  view: PeerView;
  state: PeerState;
  /** There was time to tell: before that, what an earlier run wrote about it stays. */
  judged: boolean;
  /** Resolved gateway addresses, IPv4. */
  gateways: readonly string[];
}

interface ImporterOptions {
  client: KubeClient;
  clock: Clock;
  /** Undefined without a Link; `starting` while there is one that is not followed yet. */
  peer: (cluster: string) => Peer | 'starting' | undefined;
  federated: FederatedServices;
  /** Suffix of trust domains. */
  trustSuffix: string;
  services: Informer<Service>;
  /** Indexed by `source` (`cluster|namespace/name`), see `importIndex`. */
  slices: Informer<EndpointSlice>;
  namespaces: Informer<Namespace>;
  log: Logger;
  /** For each peer; as `importLimits` unless a test has others. */
  writes?: WriteBudgetOptions | undefined;
  /** Called with the outcome of each reconcile, for the Link's status. */
  onOutcome: (cluster: string, key: string, outcome: ImportedService | undefined) => void;
}

/** Weights are written at most this often (docs/decisions/0005). */
const weightIntervalMs = 1000;
/** Between two log lines that say that a peer waits. */
const logIntervalMs = 60_000;
const defaultWrites: WriteBudgetOptions = {
  burst: importLimits.import_writes.default,
  perSecond: importLimits.import_writes_per_s.default,
};

/** `cluster|namespace/name`, the key of the work queue. */
export function importKey(cluster: string, key: string): string {
  return `${cluster}|${key}`;
}

export function parseImportKey(queueKey: string): { cluster: string; key: string } {
  const bar = queueKey.indexOf('|');
  return { cluster: queueKey.slice(0, bar), key: queueKey.slice(bar + 1) };
}

export const importIndex = {
  source: (object: Service | EndpointSlice): string[] => {
    const cluster = object.metadata?.labels?.[labels.clusterName];
    const source = annotationOf(object, annotations.sourceService);
    return cluster === undefined || source === undefined ? [] : [importKey(cluster, source)];
  },
  cluster: (object: Service | EndpointSlice): string[] => {
    const cluster = object.metadata?.labels?.[labels.clusterName];
    return cluster === undefined || object.metadata?.labels?.[labels.mirroredService] !== 'true'
      ? []
      : [cluster];
  },
};

/** Of a status: no name of a Service is longer, and a peer may send any. */
function shownName(key: string): { namespace: string; name: string } {
  const { namespace = '', name } = parseKey(key);
  return { namespace: namespace.slice(0, 63), name: name.slice(0, 63) };
}

/** What an export becomes here: Services of these names. */
interface Parts {
  readonly names: readonly string[];
  readonly record: ImportRecord;
}

/**
 * Whether an object was made by this import. A mark of its origin that somebody took away is put back; only where the peer is
 * called `federated` a Service without a peer is another one.
 */
function isOf(queueKey: string): (object: Stored<Service> | Stored<EndpointSlice>) => boolean {
  const { cluster, key } = parseImportKey(queueKey);
  return (object) => {
    if (labelOf(object, labels.mirroredService) !== 'true') return false;
    if (labelOf(object, labels.localCopy) !== undefined) return false;
    const peer = labelOf(object, labels.clusterName);
    const source = annotationOf(object, annotations.sourceService);
    const ofPeer = peer === cluster || (peer === undefined && cluster !== 'federated');
    return ofPeer && (source === undefined || source === key);
  };
}

/** Whose object it is, for a message. */
function whose(object: Service | EndpointSlice): string {
  const [source] = importIndex.source(object);
  if (source === undefined) return 'of another origin';
  const { cluster, key } = parseImportKey(source);
  return `the mirror of ${key} of cluster ${cluster}`;
}

type Verdict =
  | { state: 'Mirrored'; names: string[]; record: ImportRecord }
  | { state: 'Refused'; reason: ImportRefusal; message: string }
  | { state: 'Waiting'; reason: ImportWait; message: string };

export class Importer {
  readonly #options: ImporterOptions;
  readonly #weights: Map<string, { shown: number; at: number }> = new Map();
  /** By peer. */
  readonly #budgets: Map<string, WriteBudget> = new Map();
  #waitLoggedAt = Number.NEGATIVE_INFINITY;

  constructor(options: ImporterOptions) {
    this.#options = options;
  }

  async reconcile(queueKey: string): Promise<ReconcileResult> {
    const { cluster, key } = parseImportKey(queueKey);
    const { peer: peerOf, onOutcome } = this.#options;
    const peer = peerOf(cluster);
    if (peer === 'starting') return;
    const sent = peer?.link.import === false ? undefined : peer?.view.get(key);
    const waitMs = peer === undefined ? 0 : this.#waitMs(queueKey, peer.state);
    if (waitMs > 0) return { requeueAfterMs: waitMs };
    if (peer === undefined || sent === undefined) {
      if (peer !== undefined && peer.link.import !== false && peer.view.mustKeep(key)) {
        this.#keep(queueKey, `${cluster} does not tell of it now`);
        if (peer.judged) await this.#mark(queueKey, peer.state);
        return;
      }
      await this.remove(queueKey);
      onOutcome(cluster, key, undefined);
      return;
    }
    const verdict = this.#judge(queueKey, peer, sent);
    const { namespace, name } = shownName(key);
    // A name server that fails while we start takes nothing away.
    if (verdict.state === 'Waiting' && verdict.reason === 'NoGatewayAddress') {
      if (this.#keep(queueKey, verdict.message)) return;
    }
    if (verdict.state !== 'Mirrored') {
      // Refused or waiting: whatever an earlier, acceptable record made goes.
      await this.remove(queueKey);
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

  /** How long a peer that has too much written waits. How it is doing is said at once. */
  #waitMs(queueKey: string, state: PeerState): number {
    const { log, slices } = this.#options;
    const { cluster } = parseImportKey(queueKey);
    const waitMs = this.#budgets.get(cluster)?.waitMs ?? 0;
    if (waitMs === 0) return 0;
    const told = slices.byIndex('source', queueKey);
    if (told.some((slice) => annotationOf(slice, annotations.peerState) !== state)) return 0;
    const now = this.#options.clock.now();
    if (now - this.#waitLoggedAt >= logIntervalMs) {
      this.#waitLoggedAt = now;
      log.warn('a peer changes its exports too often (import_writes)', { peer: cluster });
    }
    return waitMs;
  }

  #written(cluster: string): void {
    const { clock, writes = defaultWrites } = this.#options;
    const budget = this.#budgets.get(cluster) ?? new WriteBudget(clock, writes);
    this.#budgets.set(cluster, budget);
    budget.spend();
  }

  /** Takes away everything that this import made. */
  async remove(queueKey: string): Promise<void> {
    const { cluster, key } = parseImportKey(queueKey);
    await this.#removeAll(queueKey, new Set());
    this.#weights.delete(queueKey);
    this.#options.federated.withdraw(cluster, key);
  }

  #judge(
    queueKey: string,
    { link, gateways, state }: Peer,
    sent: Parameters<typeof importRecord>[0],
  ): Verdict {
    const { namespaces, services } = this.#options;
    const record = importRecord(sent, { link, trustSuffix: this.#options.trustSuffix });
    if ('reason' in record) return { state: 'Refused', ...record };
    const { namespace, name } = record;
    const home = namespaces.get(undefined, namespace);
    if (home === undefined || isDeleting(home)) {
      const what = home === undefined ? 'does not exist here' : 'is being deleted';
      const message = `namespace ${namespace} ${what}; it is imported as soon as there is one`;
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
      if (member || annotationOf(home, annotations.acceptFederated) === 'true') {
        const federated = federatedName(name);
        if (typeof federated !== 'string') return { state: 'Refused', ...federated };
        names.push(federated);
      } else if (!record.pinned) {
        const message = `no local member: label Service ${namespace}/${name} ${labels.federated}=member, or annotate the namespace ${annotations.acceptFederated}=true`;
        return { state: 'Waiting', reason: 'NoLocalMember', message };
      }
    }
    const taken = this.#taken(queueKey, { names, record, link, gateways, state });
    if (taken !== undefined) return { state: 'Refused', reason: 'NameConflict', message: taken };
    if (record.path === 'gateway' && gateways.length === 0) {
      return {
        state: 'Waiting',
        reason: 'NoGatewayAddress',
        message: `no address of ${link.gatewayAddresses.join(', ')} is known yet`,
      };
    }
    return { state: 'Mirrored', names, record };
  }

  /** Cluster names may have dashes: `a-b` of c and `a` of b-c would have one name here. Who came first keeps it. */
  #taken(
    queueKey: string,
    { names, record, ...of }: Pick<Peer, 'link' | 'gateways' | 'state'> & Parts,
  ): string | undefined {
    const { services, slices, trustSuffix } = this.#options;
    const { namespace } = record;
    for (const mirror of names) {
      const service = services.get(namespace, mirror);
      if (service !== undefined && labelOf(service, labels.mirroredService) !== 'true')
        return `Service ${namespace}/${mirror} exists and is not a mirror; rename it or the exported service`;
      const pinned = mirror === mirrorName(record.name, of.link.cluster);
      if (service !== undefined && !(pinned ? isOf(queueKey)(service) : isFederated(service)))
        return `Service ${namespace}/${mirror} is ${whose(service)}; export one of the two under another name`;
      for (const { metadata } of mirrorSlices({ service: mirror, record, ...of, weight: 0, trustSuffix })) {
        const slice = slices.get(namespace, metadata.name);
        if (slice !== undefined && !isOf(queueKey)(slice))
          return `EndpointSlice ${namespace}/${metadata.name} is ${whose(slice)}; export one of the two under another name`;
      }
    }
    return undefined;
  }

  async #write(queueKey: string, peer: Peer, { names, record }: Parts): Promise<ReconcileResult> {
    const { client, services, slices, federated, trustSuffix } = this.#options;
    const { link, gateways, state } = peer;
    const { weight, laterMs } = this.#weight(queueKey, record.readyEndpoints);
    const keep = new Set<string>();
    const pinned = mirrorName(record.name, link.cluster);
    const mine = isOf(queueKey);
    for (const name of names) {
      if (name === pinned) {
        keep.add(`Service/${name}`);
        const current = services.get(record.namespace, name);
        const service = mirrorService({ name, record, cluster: link.cluster });
        const { outcome } = await ensureObject(client, servicesType, noLonger(service, current), {
          current,
          mine,
        });
        if (outcome !== 'unchanged') this.#written(link.cluster);
      }
      for (const slice of mirrorSlices({
        service: name,
        record,
        link,
        gateways,
        state,
        weight,
        trustSuffix,
      })) {
        keep.add(`EndpointSlice/${slice.metadata.name}`);
        const { outcome } = await ensureObject(client, endpointSlices, slice, {
          current: slices.get(record.namespace, slice.metadata.name),
          exact: ['endpoints', 'ports'],
          mine,
        });
        if (outcome !== 'unchanged') this.#written(link.cluster);
      }
    }
    await this.#removeAll(queueKey, keep);
    if (names.some((name) => name !== pinned)) federated.offer(link.cluster, record);
    else federated.withdraw(link.cluster, parseImportKey(queueKey).key);
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

  /** What is there stays, and is told of. False: there is nothing. */
  #keep(queueKey: string, why: string): boolean {
    const { slices, onOutcome } = this.#options;
    const { cluster, key } = parseImportKey(queueKey);
    const names = new Set(
      slices.byIndex('source', queueKey).map((slice) => labelOf(slice, serviceNameLabel) ?? ''),
    );
    if (names.size === 0) return false;
    onOutcome(cluster, key, {
      ...shownName(key),
      mirror: [...names].sort().join(','),
      state: 'Mirrored',
      reason: 'Mirrored',
      message: `kept as it was: ${why}`,
    });
    return true;
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

  /** Deletes what this import made and `keep` (`Kind/name`) does not name. */
  async #removeAll(queueKey: string, keep: ReadonlySet<string>): Promise<void> {
    const { client, services, slices } = this.#options;
    const { cluster } = parseImportKey(queueKey);
    for (const slice of slices.byIndex('source', queueKey)) {
      if (keep.has(`EndpointSlice/${slice.metadata.name}`)) continue;
      await deleteExactly(client, endpointSlices, slice);
      this.#written(cluster);
    }
    for (const service of services.byIndex('source', queueKey)) {
      if (keep.has(`Service/${service.metadata.name}`)) continue;
      await deleteExactly(client, servicesType, service);
      this.#written(cluster);
    }
  }
}
