/** What linking needs to know of each cluster, read from the cluster itself. */
import type { Clock } from '@mesh/clock/clock';
import { sleep } from '@mesh/clock/clock';
import { parseStoredValues } from '@mesh/charts/values';
import { MeshError } from '@mesh/errors/mesh-error';
import type { KubeClient } from '@mesh/kube/client';
import { formatCidr, mergeCidrs, parseCidr } from '@mesh/kube/cidr';
import { configMaps, nodes, services } from '@mesh/kube/resources';
import { type LinkSpec, maxPodCIDRs, multiclusterNamespace } from '@mesh/multicluster/link';
import { fingerprint, splitPem } from '@mesh/trust/pem';

export interface LinkedCluster {
  /** As the user named it. */
  context: string;
  client: KubeClient;
  cluster: string;
  /** SHA-256 of each trust anchor. */
  anchors: string[];
  gatewayAddresses: string[];
  gatewayPort: number;
  /** IPv4 networks of its pods, as few as they can be written in. */
  podCIDRs: string[];
}

interface GatewayOptions {
  clock: Clock;
  waitForAddressMs: number;
  /** Used instead of the addresses of the gateway's Service. */
  givenAddresses?: readonly string[];
}

/** @throws MeshError not-installed saying what is missing and how to install it */
export async function readCluster(
  context: string,
  client: KubeClient,
  options: GatewayOptions,
): Promise<LinkedCluster> {
  const config = await client.find(configMaps, { namespace: 'mesh', name: 'mesh-config' });
  if (config === undefined) {
    throw new MeshError('not-installed', `context ${context} has no mesh`, {
      remedy: `mesh install --cluster NAME --trust DIR --apply --context ${context}`,
    });
  }
  const values = parseStoredValues(config.data?.['values'] ?? '');
  const roots = await client.find(configMaps, { namespace: 'mesh', name: 'mesh-trust-roots' });
  const gateway = await gatewayAddress(context, client, options);
  const podCIDRs = (await client.listAll(nodes)).items
    .flatMap(({ spec }) => spec?.podCIDRs ?? spec?.podCIDR ?? [])
    .flatMap((network) => parseCidr(network) ?? []);
  return {
    context,
    client,
    cluster: values.cluster,
    anchors: splitPem(roots?.data?.['ca-bundle.crt'] ?? values.anchors).flatMap(
      (pem) => fingerprint(pem) ?? [],
    ),
    ...gateway,
    podCIDRs: mergeCidrs(podCIDRs).map(formatCidr),
  };
}

async function gatewayAddress(
  context: string,
  client: KubeClient,
  { clock, waitForAddressMs, givenAddresses = [] }: GatewayOptions,
): Promise<{ gatewayAddresses: string[]; gatewayPort: number }> {
  const deadline = clock.now() + waitForAddressMs;
  for (;;) {
    const service = await client.find(services, { namespace: multiclusterNamespace, name: 'mesh-gateway' });
    if (service === undefined) {
      throw new MeshError('not-installed', `context ${context} has no gateway`, {
        remedy: `mesh multicluster install --apply --context ${context}`,
      });
    }
    const found = (service.status?.loadBalancer?.ingress ?? []).flatMap(
      ({ ip, hostname }) => ip ?? hostname ?? [],
    );
    const gatewayAddresses = givenAddresses.length > 0 ? [...givenAddresses] : found;
    const gatewayPort = service.spec?.ports?.find(({ name }) => name === 'mc-gateway')?.port ?? 4143;
    if (gatewayAddresses.length > 0) return { gatewayAddresses, gatewayPort };
    if (clock.now() > deadline) {
      throw new MeshError(
        'link-refused',
        `the gateway of context ${context} has no address that other clusters can reach`,
        {
          remedy:
            'Service mesh-multicluster/mesh-gateway needs a LoadBalancer address; without one: mesh multicluster link-gen --gateway-address ADDRESS',
        },
      );
    }
    await sleep(clock, 250);
  }
}

/** @throws MeshError link-refused when two of them cannot be linked */
export function checkLinkable(clusters: readonly LinkedCluster[]): void {
  for (const [index, one] of clusters.entries()) {
    for (const other of clusters.slice(index + 1)) {
      if (one.cluster === other.cluster) {
        throw new MeshError(
          'link-refused',
          `contexts ${one.context} and ${other.context} are both cluster ${one.cluster}`,
          {
            remedy: 'Cluster names must be unique; install one of them again under another --cluster NAME.',
          },
        );
      }
      if (one.anchors.some((anchor) => other.anchors.includes(anchor))) continue;
      throw new MeshError(
        'link-refused',
        `clusters ${one.cluster} and ${other.cluster} have no trust anchor in common:\n` +
          `  ${one.cluster}: ${one.anchors.join(', ')}\n  ${other.cluster}: ${other.anchors.join(', ')}`,
        {
          remedy: `Install ${other.cluster} with the same anchor: mesh install --cluster ${other.cluster} --trust DIR --apply --context ${other.context}`,
        },
      );
    }
  }
}

/** What its operator must know of the Link to `target`; undefined when it has everything. */
export function linkGap({ cluster, podCIDRs }: LinkedCluster): string | undefined {
  if (podCIDRs.length <= maxPodCIDRs) return undefined;
  return (
    `cluster ${cluster}: its pods are in ${podCIDRs.length} networks, and a Link holds ${maxPodCIDRs}; ` +
    `for services of a flat network (remote-discovery), set spec.podCIDRs of Link ${cluster} to larger ones`
  );
}

/** The Link that another cluster needs in order to reach `target`. Without `podCIDRs`, it takes no pods of a flat network. */
export function linkTo(target: LinkedCluster): LinkSpec {
  return {
    cluster: target.cluster,
    gatewayAddresses: target.gatewayAddresses,
    gatewayPort: target.gatewayPort,
    ...(target.podCIDRs.length <= maxPodCIDRs && { podCIDRs: target.podCIDRs }),
    anchorFingerprints: target.anchors,
  };
}
