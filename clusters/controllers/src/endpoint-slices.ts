import { isNotFound } from '@mesh/kube/api-error';
import type { ReconcileResult } from '@mesh/kube/controller';
import {
  controllerRef,
  isDeleting,
  labelOf,
  managedByLabel,
  parseKey,
  serviceNameLabel,
} from '@mesh/kube/objects';
import { jsonEqual } from '@mesh/kube/patch';
import { endpointSlices, pods, services } from '@mesh/kube/resources';
import { matchesLabels } from '@mesh/kube/selector';
import type { EndpointSlice, Pod, Service, Stored } from '@mesh/kube/types';
import type { ControllerContext } from './context.ts';
import { ControlLoop } from './control-loop.ts';
import { addressTypes, endpointGroups } from './service-endpoints.ts';
import { planSlices, type SliceContent } from './slice-packing.ts';

const managedByValue = 'endpointslice-controller.k8s.io';
const headlessLabel = 'service.kubernetes.io/headless';

/** Keeps the EndpointSlices of every Service with a selector equal to its pods. Slices of others are not touched. */
export function endpointSliceController(context: ControllerContext): ControlLoop {
  const reconciler = new EndpointSliceReconciler(context);
  return new ControlLoop(context, {
    name: 'endpointslice-controller',
    reconcile: (key) => reconciler.reconcile(key),
  })
    .watch(services, ({ metadata }) => [`${metadata.namespace}/${metadata.name}`])
    .watch(pods, (pod) => reconciler.keysOf(pod))
    .watch(endpointSlices, (slice) => {
      const service = labelOf(slice, serviceNameLabel);
      return isOurs(slice) && service !== undefined ? [`${slice.metadata.namespace}/${service}`] : [];
    });
}

class EndpointSliceReconciler {
  readonly #context: ControllerContext;

  constructor(context: ControllerContext) {
    this.#context = context;
  }

  keysOf(pod: Stored<Pod>): string[] {
    const namespace = pod.metadata.namespace ?? '';
    return this.#context.informers
      .of(services)
      .list(namespace)
      .filter((service) => selects(service, pod))
      .map((service) => `${namespace}/${service.metadata.name}`);
  }

  async reconcile(key: string): Promise<ReconcileResult> {
    const { client, informers } = this.#context;
    const { namespace = '', name } = parseKey(key);
    const service = informers.of(services).get(namespace, name);
    // slices of a deleted Service go with it, by their owner reference
    if (service === undefined || isDeleting(service) || !hasEndpoints(service)) return;
    const members = informers
      .of(pods)
      .list(namespace)
      .filter((pod) => selects(service, pod));
    // read from the server, because a slice written a moment ago may not be in the cache yet
    const selector = `${serviceNameLabel}=${name},${managedByLabel}=${managedByValue}`;
    const { items: existing } = await client.listAll(endpointSlices, { namespace, labelSelector: selector });
    const labels = labelsOf(service);
    const types = addressTypes(service);
    for (const addressType of types) {
      const groups = endpointGroups(service, members, addressType);
      const own = existing.filter((slice) => slice.addressType === addressType);
      const plan = planSlices(own, groups, addressType);
      for (const content of plan.create) await this.#create(service, { labels, content });
      for (const { slice, content } of plan.keep) await this.#update(slice, { labels, content });
      for (const slice of plan.remove) await this.#remove(slice);
    }
    for (const slice of existing) {
      if (!types.some((type) => type === slice.addressType)) await this.#remove(slice);
    }
  }

  async #create(
    service: Stored<Service>,
    { labels, content }: { labels: Record<string, string>; content: SliceContent },
  ): Promise<void> {
    await this.#context.client.create(endpointSlices, {
      metadata: {
        generateName: `${service.metadata.name}-`,
        namespace: service.metadata.namespace ?? '',
        labels,
        ownerReferences: [controllerRef(service, { kind: 'Service', apiVersion: 'v1' })],
      },
      ...content,
    });
  }

  async #update(
    slice: Stored<EndpointSlice>,
    { labels, content }: { labels: Record<string, string>; content: SliceContent },
  ): Promise<void> {
    const same =
      jsonEqual(slice.endpoints ?? [], content.endpoints) && jsonEqual(slice.metadata.labels ?? {}, labels);
    if (same) return;
    const metadata = { ...slice.metadata, labels };
    await this.#context.client.update(endpointSlices, { ...slice, metadata, ...content });
  }

  async #remove(slice: Stored<EndpointSlice>): Promise<void> {
    const { uid } = slice.metadata;
    try {
      await this.#context.client.delete(endpointSlices, slice.metadata, { preconditions: { uid } });
    } catch (thrown) {
      if (!isNotFound(thrown)) throw thrown;
    }
  }
}

/** The Service's own labels, for those who select slices by them, with the ones that mark the slice. */
function labelsOf(service: Stored<Service>): Record<string, string> {
  const labels = { ...service.metadata.labels };
  delete labels[headlessLabel];
  if (service.spec?.clusterIP === 'None') labels[headlessLabel] = '';
  return { ...labels, [serviceNameLabel]: service.metadata.name, [managedByLabel]: managedByValue };
}

function hasEndpoints({ spec }: Service): boolean {
  return spec?.type !== 'ExternalName' && Object.keys(spec?.selector ?? {}).length > 0;
}

function selects(service: Service, pod: Pod): boolean {
  return hasEndpoints(service) && matchesLabels(service.spec?.selector ?? {}, pod.metadata?.labels);
}

function isOurs(slice: EndpointSlice): boolean {
  return labelOf(slice, managedByLabel) === managedByValue;
}
