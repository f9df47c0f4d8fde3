import type { Clock } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import type { KubeClient } from '@mesh/kube/client';
import type { Service } from '@mesh/kube/types';
import { configMaps, customResourceDefinitions, services } from '@mesh/kube/resources';
import {
  type ConditionType,
  type Link,
  linkDefinition,
  multiclusterNamespace,
} from '@mesh/multicluster/link';
import { annotationFaults, labels } from '@mesh/multicluster/names';
import { fingerprint, splitPem } from '@mesh/trust/pem';
import { links } from '@mesh/multicluster/link-resource';
import { multiclusterDeployments } from '../parts.ts';
import { deploymentReady } from './deployment.ts';
import type { Category, Check } from './run.ts';

interface Options {
  client: KubeClient;
  clock: Clock;
}

/** What the annotations of federated services ask for and nobody understands. */
export function annotationTrouble(members: readonly Service[]): string[] {
  return members.flatMap(({ metadata }) =>
    annotationFaults(metadata?.annotations).map(
      (fault) => `${metadata?.namespace}/${metadata?.name}: ${fault}`,
    ),
  );
}

export function multiclusterChecks({ client }: Options): Category[] {
  const listed = async (): Promise<Link[]> =>
    (await client.listAll(links, { namespace: multiclusterNamespace })).items;
  return [
    {
      name: 'mesh-multicluster',
      checks: [
        {
          description: 'Link definition exists',
          fatal: true,
          async run() {
            const found = await client.find(customResourceDefinitions, {
              name: linkDefinition.metadata.name,
            });
            if (found === undefined) {
              throw new MeshError(
                'not-installed',
                `CustomResourceDefinition ${linkDefinition.metadata.name} does not exist`,
                {
                  remedy: 'mesh install --cluster NAME --trust DIR --apply',
                },
              );
            }
          },
        },
        ...multiclusterDeployments.map((ref) =>
          deploymentReady(client, ref, 'mesh multicluster install --apply'),
        ),
        {
          description: 'gateway has an address that other clusters can reach',
          async run() {
            const gateway = await client.get(services, {
              namespace: multiclusterNamespace,
              name: 'mesh-gateway',
            });
            if ((gateway.status?.loadBalancer?.ingress ?? []).length === 0) {
              throw new MeshError(
                'not-installed',
                'Service mesh-multicluster/mesh-gateway has no LoadBalancer address',
                {
                  remedy:
                    'Clusters without load balancers can name one when linking: mesh multicluster link-gen --gateway-address ADDRESS',
                },
              );
            }
          },
        },
      ],
    },
    {
      name: 'mesh-multicluster-services',
      checks: [
        {
          description: 'annotations of federated services are understood',
          warning: true,
          async run() {
            const labelSelector = `${labels.federated}=member`;
            const trouble = annotationTrouble((await client.listAll(services, { labelSelector })).items);
            if (trouble.length > 0) throw new MeshError('annotation-unknown', trouble.join('\n'));
          },
        },
      ],
    },
    {
      name: 'mesh-multicluster-links',
      checks: [
        {
          description: 'links have the names of their clusters',
          async run() {
            const odd = (await listed()).filter(({ metadata, spec }) => metadata.name !== spec.cluster);
            if (odd.length > 0) {
              const names = odd.map(
                ({ metadata, spec }) => `${metadata.name} (spec.cluster ${spec.cluster})`,
              );
              throw new MeshError('link-refused', `misnamed: ${names.join(', ')}`, {
                remedy: 'metadata.name and spec.cluster must be equal.',
              });
            }
          },
        },
        ...conditionChecks(listed),
        {
          description: 'peers showed a trust anchor that this cluster has',
          async run() {
            const roots = await client.get(configMaps, { namespace: 'mesh', name: 'mesh-trust-roots' });
            const own = splitPem(roots.data?.['ca-bundle.crt'] ?? '').flatMap(
              (pem) => fingerprint(pem) ?? [],
            );
            const foreign = (await listed()).filter(
              ({ spec }) =>
                spec.anchorFingerprints !== undefined &&
                !spec.anchorFingerprints.some((anchor) => own.includes(anchor)),
            );
            if (foreign.length > 0) {
              const shown = foreign.map(
                ({ spec }) => `${spec.cluster}: ${spec.anchorFingerprints?.join(', ')}`,
              );
              throw new MeshError('link-refused', `this cluster has ${own.join(', ')}\n${shown.join('\n')}`, {
                remedy: 'Install both clusters with one anchor (mesh install --trust DIR), then link again.',
              });
            }
          },
        },
        {
          description: 'every export of the peers is mirrored here',
          warning: true,
          async run() {
            const missing = (await listed()).flatMap(({ spec, status }) =>
              (status?.imports ?? [])
                .filter(({ state }) => state !== 'Mirrored')
                .map(
                  ({ namespace, name, reason, message }) =>
                    `${spec.cluster} ${namespace}/${name}: ${reason}: ${message}`,
                ),
            );
            if (missing.length > 0) {
              throw new MeshError('link-refused', missing.join('\n'), {
                remedy: 'docs/errors.md has what each of these reasons asks for.',
              });
            }
          },
        },
      ],
    },
  ];
}

const unreachable =
  'Gateways must reach each other at the addresses in the Links; run the check in the peer too.';

const wanted: readonly [type: ConditionType, description: string, remedy: string][] = [
  [
    'TrustCompatible',
    'both sides of each link verified each other',
    'Clusters that are linked share one anchor: mesh install --cluster NAME --trust DIR in both, then link again.',
  ],
  ['Connected', 'each peer answers through its gateway', unreachable],
  ['GatewayAlive', 'no gateway of a peer is dead', unreachable],
  ['Synced', 'the exports of each peer are current', unreachable],
];

function conditionChecks(listed: () => Promise<Link[]>): Check[] {
  return wanted.map(([type, description, remedy]) => ({
    description,
    async run() {
      const bad = (await listed()).flatMap(({ metadata, status }) => {
        const found = status?.conditions?.find((condition) => condition.type === type);
        if (found?.status === 'True' || (type === 'GatewayAlive' && found?.status === 'Unknown')) return [];
        return [
          `${metadata.name}: ${found === undefined ? 'the mirror controller has not looked at it yet' : `${found.reason}: ${found.message}`}`,
        ];
      });
      if (bad.length > 0) {
        throw new MeshError('link-unproven', bad.join('\n'), { remedy });
      }
    },
  }));
}
