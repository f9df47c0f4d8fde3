/**
 * `<svc>-federated`: one Service for the members of all clusters. It belongs to no single peer, so it is written here
 * alone, level-triggered per service: its ports are the local member's, else those of the first peer by name; its
 * slices are the peers' and, for callers without a proxy, copies of the local member's.
 */
import { ensureObject } from '@mesh/kube/apply';
import type { KubeClient } from '@mesh/kube/client';
import type { Informer } from '@mesh/kube/informer';
import { isDeleting, labelOf, parseKey, serviceNameLabel } from '@mesh/kube/objects';
import { endpointSlices, services as servicesType } from '@mesh/kube/resources';
import type { EndpointSlice, Service, Stored } from '@mesh/kube/types';
import { exportRequest, federatedName, labels } from '@mesh/multicluster/names';
import { deleteExactly } from './delete.ts';
import { localCopy, mirrorService } from './desired.ts';
import { type ImportRecord, servicePorts } from './import-record.ts';
import { noLonger } from './no-longer.ts';

interface FederatedOptions {
  client: KubeClient;
  services: Informer<Service>;
  /** Indexed by `service`. */
  slices: Informer<EndpointSlice>;
  /** Called with `namespace/name` when something about that federated service is to be looked at. */
  onChange: (key: string) => void;
}

/** A mirror that belongs to no single peer; a peer that is called `federated` has mirrors of such names, too. */
export function isFederated(service: Stored<Service>): boolean {
  return (
    labelOf(service, labels.mirroredService) === 'true' && labelOf(service, labels.clusterName) === undefined
  );
}

export class FederatedServices {
  readonly #options: FederatedOptions;
  /** What peers offer, by `namespace/name` and cluster. */
  readonly #offers: Map<string, Map<string, ImportRecord>> = new Map();

  constructor(options: FederatedOptions) {
    this.#options = options;
  }

  /** A peer's record is admitted to the federated service of its name; its slice exists already. */
  offer(cluster: string, record: ImportRecord): void {
    const key = `${record.namespace}/${record.name}`;
    const offers = this.#offers.get(key) ?? new Map<string, ImportRecord>();
    offers.set(cluster, record);
    this.#offers.set(key, offers);
    this.#options.onChange(key);
  }

  withdraw(cluster: string, key: string): void {
    const offers = this.#offers.get(key);
    offers?.delete(cluster);
    if (offers?.size === 0) this.#offers.delete(key);
    this.#options.onChange(key);
  }

  /** `key`: of the exported Service, without the suffix. */
  async reconcile(key: string): Promise<void> {
    const { client, services } = this.#options;
    const { namespace = '', name: base } = parseKey(key);
    const name = federatedName(base);
    if (typeof name !== 'string') return;
    const current = services.get(namespace, name);
    if (current !== undefined && !isFederated(current)) return;
    const [record] = [...(this.#offers.get(key) ?? [])]
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([, offered]) => offered);
    if (record === undefined) {
      await this.#removeUnused(namespace, name, current);
      return;
    }
    const member = this.#member(key);
    const shape = member === undefined ? record : { ...record, ports: servicePorts(member) };
    const service = mirrorService({ name, record: shape });
    await ensureObject(client, servicesType, noLonger(service, current), {
      current,
      mine: isFederated,
    });
    await this.#copySlices({ namespace, name, base }, member !== undefined);
  }

  #member(key: string): Stored<Service> | undefined {
    const found = this.#options.services.getByKey(key);
    const request = exportRequest(found?.metadata.labels);
    if (found === undefined || isDeleting(found)) return undefined;
    return request.kind === 'export' && request.federated ? found : undefined;
  }

  async #copySlices(
    { namespace, name, base }: { namespace: string; name: string; base: string },
    member: boolean,
  ): Promise<void> {
    const { client, slices } = this.#options;
    const wanted = member
      ? slices
          .byIndex('service', `${namespace}/${base}`)
          .filter((slice) => labelOf(slice, labels.mirroredService) === undefined && !isDeleting(slice))
          .map((slice) => localCopy(name, slice))
      : [];
    for (const copy of wanted) {
      await ensureObject(client, endpointSlices, copy, {
        current: slices.get(namespace, copy.metadata.name),
        exact: ['endpoints', 'ports'],
      });
    }
    const names = new Set(wanted.map(({ metadata }) => metadata.name));
    for (const slice of slices.byIndex('service', `${namespace}/${name}`)) {
      if (labelOf(slice, labels.localCopy) === 'true' && !names.has(slice.metadata.name))
        await deleteExactly(client, endpointSlices, slice);
    }
  }

  /** Nobody offers it now: it stays only while slices of peers are left, whose peers may not have been heard yet. */
  async #removeUnused(namespace: string, name: string, current: Stored<Service> | undefined): Promise<void> {
    const { client, slices } = this.#options;
    if (current === undefined && slices.byIndex('service', `${namespace}/${name}`).length === 0) return;
    // The copy here may lag behind what was written a moment ago, and a Service that is made anew gets another address.
    const { items } = await client.listAll(endpointSlices, {
      namespace,
      labelSelector: `${serviceNameLabel}=${name},${labels.mirroredService}=true`,
    });
    if (items.some((slice) => labelOf(slice, labels.clusterName) !== undefined)) return;
    for (const slice of items) await deleteExactly(client, endpointSlices, slice);
    if (current !== undefined) await deleteExactly(client, servicesType, current);
  }
}
