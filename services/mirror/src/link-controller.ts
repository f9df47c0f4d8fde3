/**
 * One session per Link, and everything that follows from it: imports queued when the peer says so, status written
 * when it changed, and nothing left behind when the Link goes (finalizer).
 */
import type { Clock, Random, Timer } from '@mesh/clock/clock';
import { parseDuration } from '@mesh/config/environment';
import type { KubeClient } from '@mesh/kube/client';
import { Reconciler, type ReconcileResult } from '@mesh/kube/controller';
import type { Informer } from '@mesh/kube/informer';
import { isDeleting, labelOf, parseKey, serviceNameLabel } from '@mesh/kube/objects';
import { jsonEqual } from '@mesh/kube/patch';
import type { EndpointSlice, Namespace, Service, Stored } from '@mesh/kube/types';
import {
  type ImportedService,
  type Link,
  type LinkCondition,
  type LinkSpec,
  multiclusterNamespace,
} from '@mesh/multicluster/link';
import { parseIPv4 } from '@mesh/multicluster/import-rules';
import type { Logger } from '@mesh/telemetry/log';
import type { MetricRegistry } from '@mesh/telemetry/metrics';
import { FederatedServices } from './federated-services.ts';
import { Importer, importIndex, importKey, parseImportKey, type Peer } from './importer.ts';
import type { LinkFault } from './link-reasons.ts';
import { linkStatus, sameHealth, sameStatus } from './link-status.ts';
import { LinkMetrics } from './metrics.ts';
import { type GatewayConnection, PeerSession, type ProbeSettings } from './peer-session.ts';
import { links as linksType } from '@mesh/multicluster/link-resource';
import type { WriteBudgetOptions } from './write-budget.ts';

const finalizer = 'multicluster.mesh.io/mirror';

export interface LinkControllerOptions {
  client: KubeClient;
  clock: Clock;
  random: Random;
  log: Logger;
  registry: MetricRegistry;
  cluster: string;
  /** Suffix of trust domains. */
  suffix: string;
  links: Informer<Link>;
  /** Indexed by `importIndex` and by service. */
  services: Informer<Service>;
  slices: Informer<EndpointSlice>;
  namespaces: Informer<Namespace>;
  maxExports: number;
  maxAgeMs: number;
  /** Of each peer, where a test has others than the limits. */
  writes?: WriteBudgetOptions | undefined;
  connect: (link: LinkSpec, address: string, port: number) => Promise<GatewayConnection>;
  /** IPv4 addresses of a gateway's host name. */
  resolve: (host: string) => Promise<string[]>;
}

interface Linked {
  link: Stored<Link>;
  session: PeerSession;
  /** IPv4 addresses of the gateways that are named otherwise, as they were last known. */
  readonly resolved: Map<string, readonly string[]>;
  gateways: readonly string[];
  imports: Map<string, ImportedService>;
  statusWrittenAt: number;
  /** The status will be looked at for what became of exports. */
  outcomesDue: boolean;
}

/** Round trips and times of the last sign are written at most this often when nothing else changed. */
const statusIntervalMs = 10_000;
/** … and what became of single exports: their endpoints come and go all the time. */
const importsIntervalMs = 1000;

export class LinkController {
  readonly #options: LinkControllerOptions;
  readonly #linked: Map<string, Linked> = new Map();
  readonly #imports: Reconciler;
  readonly #links: Reconciler;
  readonly #importer: Importer;
  readonly #federated: FederatedServices;
  readonly #federatedQueue: Reconciler;
  readonly #metrics: LinkMetrics;
  readonly #watchers: Set<(cluster: string) => void> = new Set();
  #timer: Timer | undefined;

  constructor(options: LinkControllerOptions) {
    this.#options = options;
    const { client, clock, random, log, services, slices, namespaces } = options;
    this.#metrics = new LinkMetrics(options.registry, options.cluster);
    this.#federated = new FederatedServices({
      client,
      services,
      slices,
      onChange: (key) => this.#federatedQueue.add(key),
    });
    this.#federatedQueue = new Reconciler({
      name: 'federated',
      reconcile: (key) => this.#federated.reconcile(key),
      clock,
      random,
      onError: ({ key, error }) => log.warn('federated service failed', { key, error: String(error) }),
    });
    this.#importer = new Importer({
      client,
      federated: this.#federated,
      trustSuffix: options.suffix,
      clock,
      log,
      writes: options.writes,
      services,
      slices,
      namespaces,
      peer: (cluster) => this.#peer(cluster),
      onOutcome: (cluster, key, outcome) => this.#outcome(cluster, key, outcome),
    });
    this.#imports = new Reconciler({
      name: 'import',
      reconcile: (key) => this.#importer.reconcile(key),
      clock,
      random,
      concurrency: 4,
      onError: ({ key, error }) => log.warn('import failed', { key, error: String(error) }),
    });
    this.#links = new Reconciler({
      name: 'link',
      reconcile: (key) => this.#reconcileLink(key),
      clock,
      random,
      onError: ({ key, error }) => log.warn('link failed', { key, error: String(error) }),
    });
  }

  /** Call once the informers have synced. */
  start(): void {
    const { links, services, slices, namespaces, clock } = this.#options;
    this.#links.start();
    this.#imports.start();
    this.#federatedQueue.start();
    links.onChange((key) => this.#links.add(key));
    // Somebody changed or removed what mirroring owns, or a name that a mirror needs came free.
    services.onChange((_, { object, previous }) => {
      for (const service of [object, previous]) {
        if (service === undefined) continue;
        const { namespace = '', name } = service.metadata;
        for (const source of importIndex.source(service)) this.#imports.add(source);
        this.#everyPeer(`${namespace}/${name}`);
        this.#federatedQueue.add(`${namespace}/${baseOf(name)}`);
        // A mirror, or what stands where one wants to be.
        for (const owner of ownersOf(name)) this.#everyPeer(`${namespace}/${owner}`);
      }
    });
    slices.onChange((_, { object, previous }) => {
      for (const slice of [object, previous]) {
        if (slice === undefined) continue;
        for (const source of importIndex.source(slice)) this.#imports.add(source);
        const service = labelOf(slice, serviceNameLabel);
        if (service !== undefined) this.#federatedQueue.add(`${slice.metadata.namespace}/${baseOf(service)}`);
      }
      if (object !== undefined || previous === undefined) return;
      const { namespace = '', name } = previous.metadata;
      for (const owner of ownersOf(name)) this.#everyPeer(`${namespace}/${owner}`);
    });
    namespaces.onChange((_, { object, previous }) => {
      const name = (object ?? previous)?.metadata.name;
      for (const [cluster, { session }] of this.#linked) {
        for (const key of session.view.keys()) {
          if (parseKey(key).namespace === name) this.#imports.add(importKey(cluster, key));
        }
      }
    });
    this.#timer = clock.every(statusIntervalMs, () => {
      for (const [cluster, linked] of this.#linked) {
        void this.#resolveGateways(cluster, linked);
        this.#links.add(`${multiclusterNamespace}/${linked.link.metadata.name}`);
      }
    });
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
    for (const { session } of this.#linked.values()) session.stop();
    await Promise.all([this.#links.stop(), this.#imports.stop(), this.#federatedQueue.stop()]);
  }

  /** The Link to `cluster`, for who decides what a peer may see. */
  spec(cluster: string): LinkSpec | undefined {
    return this.#linked.get(cluster)?.link.spec;
  }

  onLinkChange(listener: (cluster: string) => void): () => void {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  #everyPeer(key: string): void {
    for (const [cluster, { session }] of this.#linked) {
      if (session.view.has(key)) this.#imports.add(importKey(cluster, key));
    }
  }

  #peer(cluster: string): Peer | 'starting' | undefined {
    const linked = this.#linked.get(cluster);
    if (linked === undefined) {
      const link = this.#options.links.get(multiclusterNamespace, cluster);
      return link !== undefined && !isDeleting(link) && this.#faultOf(link) === undefined
        ? 'starting'
        : undefined;
    }
    const { link, session, gateways } = linked;
    return { link: link.spec, view: session.view, state: session.state, judged: session.judged, gateways };
  }

  /** Why there can be no such Link. */
  #faultOf({ metadata: { name }, spec }: Stored<Link>): string | undefined {
    if (name === this.#options.cluster) return `cluster ${name} cannot be linked to itself`;
    if (spec.cluster === name) return undefined;
    return `metadata.name is ${name} but spec.cluster is ${spec.cluster}; they must be equal`;
  }

  #outcome(cluster: string, key: string, outcome: ImportedService | undefined): void {
    const linked = this.#linked.get(cluster);
    if (linked === undefined) return;
    const before = JSON.stringify(linked.imports.get(key));
    if (outcome === undefined) linked.imports.delete(key);
    else linked.imports.set(key, outcome);
    if (JSON.stringify(outcome) !== before) this.#outcomesChanged(linked);
  }

  /** Not at each: the status is made of all of them. */
  #outcomesChanged(linked: Linked): void {
    if (linked.outcomesDue) return;
    linked.outcomesDue = true;
    const { clock } = this.#options;
    const waitMs = importsIntervalMs - (clock.now() - linked.statusWrittenAt);
    const look = (): void => {
      linked.outcomesDue = false;
      this.#links.add(`${multiclusterNamespace}/${linked.link.metadata.name}`);
    };
    if (waitMs > 0) clock.after(waitMs, look, true);
    else look();
  }

  async #reconcileLink(key: string): Promise<ReconcileResult> {
    const link = this.#options.links.getByKey(key);
    const name = key.slice(key.indexOf('/') + 1);
    if (link === undefined) {
      this.#unlink(name);
      return;
    }
    if (isDeleting(link)) {
      this.#unlink(name);
      await this.#cleanUp(name);
      await this.#setFinalizers(
        link,
        (link.metadata.finalizers ?? []).filter((other) => other !== finalizer),
      );
      return;
    }
    const fault = this.#faultOf(link);
    if (fault !== undefined) {
      this.#unlink(name);
      for (const source of this.#sourcesOf(name)) this.#imports.add(source);
      await this.#refuse(link, fault);
      return;
    }
    if (link.metadata.finalizers?.includes(finalizer) !== true) {
      await this.#setFinalizers(link, [...(link.metadata.finalizers ?? []), finalizer]);
    }
    const known = this.#linked.get(name);
    if (known === undefined || !jsonEqual(known.link.spec, link.spec)) this.#connect(name, link);
    else known.link = link;
    return await this.#writeStatus(name);
  }

  #connect(name: string, link: Stored<Link>): void {
    const { clock, random, log, cluster, connect, maxExports, maxAgeMs } = this.#options;
    const before = this.#linked.get(name);
    before?.session.stop();
    const known = this.#sourcesOf(name).map((source) => parseImportKey(source).key);
    const session = new PeerSession({
      link: link.spec,
      cluster,
      probe: probeSettings(link.spec),
      maxExports,
      maxAgeMs,
      known,
      clock,
      random,
      log,
      connect: (address, port) => connect(link.spec, address, port),
      onExports: (keys) => {
        for (const key of keys) this.#imports.add(importKey(name, key));
      },
      onState: () => this.#stateChanged(name),
    });
    const linked: Linked = {
      link,
      session,
      resolved: new Map(before?.resolved),
      gateways: link.spec.gatewayAddresses.filter((address) => parseIPv4(address) !== undefined),
      imports: new Map(),
      statusWrittenAt: Number.NEGATIVE_INFINITY,
      outcomesDue: false,
    };
    this.#linked.set(name, linked);
    this.#metrics.add(name, () => session.status());
    // No export is looked at before it is known where the gateway is. Name servers may take their time, other Links do not wait for it.
    void this.#resolveGateways(name, linked).then(() => session.start());
    // What is there from before is looked at again, under the new terms.
    for (const key of known) this.#imports.add(importKey(name, key));
    this.#announce(name);
  }

  #unlink(name: string): void {
    const linked = this.#linked.get(name);
    if (linked === undefined) return;
    linked.session.stop();
    this.#linked.delete(name);
    this.#metrics.remove(name);
    this.#announce(name);
  }

  #announce(cluster: string): void {
    for (const watcher of [...this.#watchers]) watcher(cluster);
  }

  #stateChanged(name: string): void {
    const linked = this.#linked.get(name);
    if (linked === undefined) return;
    this.#links.add(`${multiclusterNamespace}/${name}`);
    // Every slice of the peer says how it is doing.
    for (const source of this.#sourcesOf(name)) this.#imports.add(source);
    for (const key of linked.session.view.keys()) this.#imports.add(importKey(name, key));
  }

  async #resolveGateways(name: string, linked: Linked): Promise<void> {
    const { gatewayAddresses } = linked.link.spec;
    const named = gatewayAddresses.filter((address) => parseIPv4(address) === undefined);
    await Promise.all(
      named.map(async (host) => {
        // A name server that fails for a moment takes nothing away.
        const found = await this.#options.resolve(host).catch(() => []);
        if (found.length > 0) linked.resolved.set(host, found);
      }),
    );
    const unique = [
      ...new Set(
        gatewayAddresses.flatMap((address) =>
          parseIPv4(address) === undefined ? (linked.resolved.get(address) ?? []) : [address],
        ),
      ),
    ].sort();
    if (unique.length === 0 || unique.join() === [...linked.gateways].sort().join()) return;
    linked.gateways = unique;
    for (const key of linked.session.view.keys()) this.#imports.add(importKey(name, key));
  }

  /** Imports that exist as objects. */
  #sourcesOf(cluster: string): string[] {
    const { services, slices } = this.#options;
    const objects = [...services.byIndex('cluster', cluster), ...slices.byIndex('cluster', cluster)];
    return [...new Set(objects.flatMap((object) => importIndex.source(object)))];
  }

  async #cleanUp(name: string): Promise<void> {
    for (const source of this.#sourcesOf(name)) {
      await this.#importer.remove(source);
      await this.#federated.reconcile(parseImportKey(source).key);
    }
  }

  async #setFinalizers(link: Stored<Link>, finalizers: string[]): Promise<void> {
    const { namespace, name, resourceVersion } = link.metadata;
    const body = { metadata: { finalizers, resourceVersion } };
    await this.#options.client.patch(linksType, { namespace, name }, { patch: { type: 'merge', body } });
  }

  async #refuse(link: Stored<Link>, message: string): Promise<void> {
    const { namespace, name } = link.metadata;
    const time = new Date(this.#options.clock.wall()).toISOString();
    const condition: LinkCondition & { reason: LinkFault } = {
      type: 'Connected',
      status: 'False',
      reason: 'InvalidLink',
      message,
      lastTransitionTime: time,
    };
    if (link.status?.conditions?.some((known) => known.message === message) === true) return;
    const patch = {
      type: 'merge',
      body: {
        status: {
          observedGeneration: link.metadata.generation,
          gateway: 'unknown',
          services: 0,
          imports: [],
          conditions: [condition],
        },
      },
    } as const;
    await this.#options.client.patch(linksType, { namespace, name }, { patch, subresource: 'status' });
  }

  async #writeStatus(name: string): Promise<ReconcileResult> {
    const linked = this.#linked.get(name);
    if (linked === undefined) return undefined;
    const { client, clock } = this.#options;
    const status = linkStatus({
      generation: linked.link.metadata.generation,
      session: linked.session.status(),
      imports: [...linked.imports.values()].sort((one, other) =>
        `${one.namespace}/${one.name}` < `${other.namespace}/${other.name}` ? -1 : 1,
      ),
      previous: linked.link.status,
      now: clock.wall(),
    });
    const now = clock.now();
    const sinceMs = now - linked.statusWrittenAt;
    if (sameStatus(linked.link.status, status) && sinceMs < statusIntervalMs) return undefined;
    if (sameHealth(linked.link.status, status) && sinceMs < importsIntervalMs)
      return { requeueAfterMs: importsIntervalMs - sinceMs };
    linked.statusWrittenAt = now;
    const ref = { namespace: linked.link.metadata.namespace, name };
    linked.link = await client.patch(linksType, ref, {
      patch: { type: 'merge', body: { status } },
      subresource: 'status',
    });
    return undefined;
  }
}

const federatedSuffix = '-federated';

/** The exported Service that `<svc>-federated` stands for; of any other name, the name itself. */
function baseOf(service: string): string {
  return service.endsWith(federatedSuffix) ? service.slice(0, -federatedSuffix.length) : service;
}

/** Names that a mirror called `name` could be of: cluster names may contain dashes too. */
function ownersOf(name: string): string[] {
  const owners: string[] = [];
  for (let dash = name.lastIndexOf('-'); dash > 0; dash = name.lastIndexOf('-', dash - 1))
    owners.push(name.slice(0, dash));
  return owners;
}

const dayMs = 86_400_000;

/** The CRD admits only well-formed durations, of any length: a timer of over 24 days would fire all the time. Absent, a second. */
const probeMs = (text = '1s'): number => Math.min(dayMs, Math.max(100, parseDuration(text) ?? 1000));

export function probeSettings({ probe }: Pick<LinkSpec, 'probe'>): ProbeSettings {
  return {
    periodMs: probeMs(probe?.period),
    timeoutMs: probeMs(probe?.timeout),
    failureThreshold: probe?.failureThreshold ?? 3,
  };
}
