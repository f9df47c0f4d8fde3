/** The cluster's objects, kept current by informers that report to a notifier what changed. */
import type { Clock, Random } from '@mesh/clock/clock';
import { KubeApiError } from '@mesh/kube/api-error';
import { links } from '@mesh/multicluster/link-resource';
import type { KubeClient } from '@mesh/kube/client';
import { Informer } from '@mesh/kube/informer';
import { endpointSlices, namespaces, nodes, pods, services } from '@mesh/kube/resources';
import type { KubeObject } from '@mesh/kube/types';
import type { Logger } from '@mesh/telemetry/log';
import { namespaceTopics, nodeTopics, podTopics, serviceTopics, sliceTopics, topics } from './changes.ts';
import { type ClusterObjects, podIndexers, serviceIndexers, sliceIndexers } from './cluster-objects.ts';
import type { Notifier } from './notifier.ts';

interface InformedObjectsOptions {
  client: KubeClient;
  clock: Clock;
  random: Random;
  notifier: Notifier;
  log: Logger;
}

export class InformedObjects implements ClusterObjects {
  readonly services;
  readonly endpointSlices;
  readonly pods;
  readonly namespaces;
  readonly nodes;
  readonly links;
  /** Every collection but the Links, which exist only where the multi-cluster extension is installed. */
  readonly #required: readonly Pick<
    Informer<KubeObject>,
    'start' | 'stop' | 'synced' | 'hasSynced' | 'ageMs' | 'type'
  >[];

  constructor({ client, clock, random, notifier, log }: InformedObjectsOptions) {
    const base = (kind: string) => ({
      client,
      clock,
      random,
      onError: (error: unknown) => {
        // Until the extension is installed there is no such resource.
        if (kind === 'links' && error instanceof KubeApiError && error.status === 404) return;
        log.warn('cannot follow a collection', { kind, error: String(error) });
      },
    });
    this.services = new Informer({ ...base('services'), type: services, indexers: serviceIndexers });
    this.endpointSlices = new Informer({
      ...base('endpointslices'),
      type: endpointSlices,
      indexers: sliceIndexers,
    });
    this.pods = new Informer({ ...base('pods'), type: pods, indexers: podIndexers });
    this.namespaces = new Informer({ ...base('namespaces'), type: namespaces });
    this.nodes = new Informer({ ...base('nodes'), type: nodes });
    this.links = new Informer({ ...base('links'), type: links });
    this.#required = [this.services, this.endpointSlices, this.pods, this.namespaces, this.nodes];

    const mark = (changed: readonly string[]): void => {
      for (const topic of changed) notifier.mark(topic);
    };
    this.services.onChange((_key, change) => mark(serviceTopics(change)));
    this.endpointSlices.onChange((_key, change) => mark(sliceTopics(change)));
    this.pods.onChange((_key, change) => mark(podTopics(change)));
    this.namespaces.onChange((_key, change) => mark(namespaceTopics(change)));
    this.nodes.onChange((_key, change) => mark(nodeTopics(change)));
    this.links.onChange(() => mark([topics.gateway]));
    void this.links.synced.then(() => mark([topics.gateway]));
  }

  start(): void {
    for (const informer of this.#required) informer.start();
    this.links.start();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#required.map((informer) => informer.stop()), this.links.stop()]);
  }

  /** Resolves when all but the Links were listed once. */
  async synced(): Promise<void> {
    await Promise.all(this.#required.map((informer) => informer.synced));
  }

  /** Plural names of what was not listed yet. */
  get missing(): string[] {
    return this.#required.filter(({ hasSynced }) => !hasSynced).map(({ type }) => type.plural);
  }

  /** Milliseconds since the least current collection was known to be current. */
  get ageMs(): number {
    return Math.max(...this.#required.map(({ ageMs }) => ageMs));
  }
}
