/** The gateway's table: what is exported, to whom, and which peers may come in. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { GatewayTableSchema } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import { annotationOf, isDeleting, namespaceOf } from '@mesh/kube/objects';
import type { Service, Stored } from '@mesh/kube/types';
import { federationAuthority } from '@mesh/multicluster/link';
import { annotations, exportRequest } from '@mesh/multicluster/names';
import { isOpaqueServicePort } from '@mesh/multicluster/opaque-ports';
import { mirrorIdentity, trustDomain } from '@mesh/trust/names';
import type { ClusterObjects } from './cluster-objects.ts';
import type { Settings } from './settings.ts';

export type GatewayTableMessage = MessageInitShape<typeof GatewayTableSchema>;

export function gatewayTable(objects: ClusterObjects, settings: Settings): GatewayTableMessage {
  const { cluster, trustSuffix } = settings;
  return {
    cluster,
    trustDomain: trustDomain(cluster, trustSuffix),
    exports: objects.services
      .list()
      .filter((service) => isExported(service))
      .map((service) => exportOf(objects, service, settings))
      .sort((one, other) => order(`${one.namespace}/${one.name}`, `${other.namespace}/${other.name}`)),
    peers: objects.links
      .list()
      // A misnamed Link is refused by the mirror controller, and lets nobody in either.
      .filter(({ metadata, spec }) => metadata.name === spec.cluster && spec.cluster !== cluster)
      .map((link) => ({
        cluster: link.spec.cluster,
        trustDomain: trustDomain(link.spec.cluster, trustSuffix),
        // An unlinked peer is out at once, whatever still has to be cleaned up.
        allow: (link.spec.allow ?? true) && !isDeleting(link),
      }))
      .sort((one, other) => order(one.cluster, other.cluster)),
    federation: {
      authority: federationAuthority,
      address: settings.mirrorAddress,
      identity: mirrorIdentity(cluster, trustSuffix),
    },
  };
}

/** Reachable through the gateway: exports of a flat network are not, unless they are federated as well. */
function isExported(service: Service): boolean {
  const request = exportRequest(service.metadata?.labels);
  return (
    request.kind === 'export' &&
    (request.mode === 'gateway' || request.federated) &&
    service.spec?.type !== 'ExternalName' &&
    !isDeleting(service)
  );
}

function exportOf(objects: ClusterObjects, service: Stored<Service>, settings: Settings) {
  const namespace = namespaceOf(service);
  const allowed = annotationOf(service, annotations.allowedClusters);
  return {
    namespace,
    name: service.metadata.name,
    ports: (service.spec?.ports ?? [])
      .filter(({ protocol }) => (protocol ?? 'TCP') === 'TCP')
      .map(({ name, port, appProtocol }) => ({
        name: name ?? '',
        port,
        appProtocol: appProtocol ?? '',
        opaque: isOpaqueServicePort({
          service,
          namespace: objects.namespaces.get(undefined, namespace),
          port,
          fallback: settings.opaquePorts,
        }),
      })),
    allowAllClusters: allowed === undefined,
    allowedClusters: (allowed ?? '')
      .split(',')
      .map((cluster) => cluster.trim())
      .filter((cluster) => cluster !== ''),
  };
}

function order(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
