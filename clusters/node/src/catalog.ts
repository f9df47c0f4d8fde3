import type { Clock, Random } from '@mesh/clock/clock';
import type { KubeClient } from '@mesh/kube/client';
import { Informer } from '@mesh/kube/informer';
import { labelOf, namespaceOf, serviceNameLabel } from '@mesh/kube/objects';
import { configMaps, endpointSlices, secrets, services, type ResourceType } from '@mesh/kube/resources';
import type { ConfigMap, EndpointSlice, KubeObject, Secret, Service } from '@mesh/kube/types';
import type { ServiceCatalog } from './dns-zone.ts';
import type { ClusterData } from './environment.ts';
import { servicePorts } from './service-ports.ts';
import type { ServicePort } from './service-rules.ts';

interface CatalogOptions {
  client: KubeClient;
  clock: Clock;
  random: Random;
  onError: (error: unknown) => void;
}

/** The node's copy of what pods refer to: Services, EndpointSlices, ConfigMaps and Secrets. */
export class Catalog implements ServiceCatalog, ClusterData {
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #configMaps: Informer<ConfigMap>;
  readonly #secrets: Informer<Secret>;

  constructor(options: CatalogOptions) {
    const informer = <T extends KubeObject>(type: ResourceType<T>): Informer<T> =>
      new Informer<T>({ ...options, type });
    this.#services = new Informer<Service>({
      ...options,
      type: services,
      indexers: { address: (service) => [service.spec?.clusterIP ?? ''] },
    });
    this.#slices = new Informer<EndpointSlice>({
      ...options,
      type: endpointSlices,
      indexers: { service: (slice) => [`${namespaceOf(slice)}/${labelOf(slice, serviceNameLabel) ?? ''}`] },
    });
    this.#configMaps = informer(configMaps);
    this.#secrets = informer(secrets);
  }

  /** Resolves when everything is known once. */
  async start(): Promise<void> {
    const all = [this.#services, this.#slices, this.#configMaps, this.#secrets];
    for (const informer of all) informer.start();
    await Promise.all(all.map((informer) => informer.synced));
  }

  async stop(): Promise<void> {
    const all = [this.#services, this.#slices, this.#configMaps, this.#secrets];
    await Promise.all(all.map((informer) => informer.stop()));
  }

  onServicesChange(listener: () => void): void {
    this.#services.onChange(listener);
    this.#slices.onChange(listener);
  }

  /** Told the namespace of each ConfigMap or Secret that changed. */
  onVolumeSourceChange(listener: (namespace: string) => void): void {
    const tell = (key: string): void => listener(key.slice(0, key.indexOf('/')));
    this.#configMaps.onChange(tell);
    this.#secrets.onChange(tell);
  }

  /** Rules' input for every service except `skip` (namespace/name), which the node answers itself. */
  ports(skip: ReadonlySet<string>): ServicePort[] {
    return this.#services.list().flatMap((service) => {
      const { namespace = '', name } = service.metadata;
      return skip.has(`${namespace}/${name}`) ? [] : servicePorts(service, this.slices(namespace, name));
    });
  }

  service(namespace: string, name: string): Service | undefined {
    return this.#services.get(namespace, name);
  }

  slices(namespace: string, service: string): readonly EndpointSlice[] {
    return this.#slices.byIndex('service', `${namespace}/${service}`);
  }

  hasNamespace(namespace: string): boolean {
    return this.#services.list(namespace).length > 0;
  }

  byClusterIp(address: string): Service | undefined {
    return this.#services.byIndex('address', address)[0];
  }

  configMap(namespace: string, name: string): ConfigMap | undefined {
    return this.#configMaps.get(namespace, name);
  }

  secret(namespace: string, name: string): Secret | undefined {
    return this.#secrets.get(namespace, name);
  }

  services(namespace: string): readonly Service[] {
    return this.#services.list(namespace);
  }
}
