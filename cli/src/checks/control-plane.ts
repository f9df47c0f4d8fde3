import { X509Certificate } from 'node:crypto';
import { issuerRemedy, verifyIssuer } from '@mesh/ca/issuer-check';
import { injectionDecision, type PodTemplate } from '@mesh/charts/sidecar';
import { parseStoredValues, type Values, version } from '@mesh/charts/values';
import type { Clock } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import type { KubeClient } from '@mesh/kube/client';
import { configMaps, mutatingWebhookConfigurations, namespaces, pods, secrets } from '@mesh/kube/resources';
import type { Pod, Stored } from '@mesh/kube/types';
import { keyOf } from '@mesh/kube/objects';
import { controlPlaneLabel } from '@mesh/multicluster/workload-names';
import { splitPem } from '@mesh/trust/pem';
import { controlPlaneDeployments } from '../parts.ts';
import { deploymentReady, podTrouble } from './deployment.ts';
import type { Category } from './run.ts';

const dayMs = 86_400_000;
const issuerSecret = { namespace: 'mesh', name: 'mesh-identity-issuer' };
const sidecarContainers: ReadonlySet<string> = new Set(['mesh-init', 'mesh-proxy']);
const soonDays = 60;
const install = 'mesh install --cluster NAME --trust DIR --apply';

interface Options {
  client: KubeClient;
  clock: Clock;
  /** Only pods of this namespace are looked at; all when undefined. */
  namespace: string | undefined;
}

export function controlPlaneChecks({ client, clock, namespace }: Options): Category[] {
  const anchorsPem = async (): Promise<string> => {
    const roots = await client.get(configMaps, { namespace: 'mesh', name: 'mesh-trust-roots' });
    return roots.data?.['ca-bundle.crt'] ?? '';
  };
  const installed = async (): Promise<Values> => {
    const config = await client.get(configMaps, { namespace: 'mesh', name: 'mesh-config' });
    return parseStoredValues(config.data?.['values'] ?? '');
  };
  const issuer = async (): Promise<X509Certificate> => {
    const secret = await client.get(secrets, issuerSecret);
    return new X509Certificate(Buffer.from(secret.data?.['tls.crt'] ?? '', 'base64'));
  };
  return [
    {
      name: 'kubernetes-api',
      checks: [
        {
          description: 'can query the Kubernetes API',
          fatal: true,
          async run() {
            await client.list(namespaces, { limit: 1, timeoutMs: 10_000 });
          },
        },
      ],
    },
    {
      name: 'mesh-existence',
      checks: [
        {
          description: 'control plane namespace and configuration exist',
          fatal: true,
          async run() {
            const config = await client.find(configMaps, { namespace: 'mesh', name: 'mesh-config' });
            if (config === undefined) {
              throw new MeshError(
                'not-installed',
                'ConfigMap mesh/mesh-config does not exist: no mesh is installed',
                { remedy: install },
              );
            }
          },
        },
        ...controlPlaneDeployments.map((ref) => deploymentReady(client, ref, install)),
      ],
    },
    {
      name: 'mesh-identity',
      checks: [
        {
          description: 'trust anchors are valid',
          async run() {
            const anchors = splitPem(await anchorsPem());
            if (anchors.length === 0)
              throw new MeshError('not-installed', 'ConfigMap mesh/mesh-trust-roots holds no certificate', {
                remedy: install,
              });
            for (const pem of anchors) checkValidity(new X509Certificate(pem), 'trust anchor', clock);
          },
        },
        {
          description: `trust anchors are valid for at least ${soonDays} days`,
          warning: true,
          async run() {
            for (const pem of splitPem(await anchorsPem()))
              checkLasting(new X509Certificate(pem), 'trust anchor', clock);
          },
        },
        { description: 'issuer is valid', run: async () => checkValidity(await issuer(), 'issuer', clock) },
        {
          description: `issuer is valid for at least ${soonDays} days`,
          warning: true,
          run: async () => checkLasting(await issuer(), 'issuer', clock),
        },
        {
          description: 'issuer is signed by a trust anchor, for this cluster',
          async run() {
            const { cluster, trustSuffix } = await installed();
            const secret = await client.get(secrets, issuerSecret);
            const text = (key: string): string => Buffer.from(secret.data?.[key] ?? '', 'base64').toString();
            const loaded = verifyIssuer(
              { certificatePem: text('tls.crt'), keyPem: text('tls.key'), anchorsPem: await anchorsPem() },
              { cluster, suffix: trustSuffix, now: clock.wall() },
            );
            if (!('fault' in loaded)) return;
            throw new MeshError('issuer-refused', loaded.detail, {
              remedy: `${issuerRemedy(loaded.fault, cluster, trustSuffix)} Then: ${install}`,
            });
          },
        },
      ],
    },
    {
      name: 'mesh-injector',
      checks: [
        {
          description: 'webhook is registered and trusts the certificate it serves',
          async run() {
            const webhook = await client.find(mutatingWebhookConfigurations, { name: 'mesh-injector' });
            if (webhook === undefined)
              throw new MeshError(
                'not-installed',
                'MutatingWebhookConfiguration mesh-injector does not exist',
                { remedy: install },
              );
            const secret = await client.find(secrets, { namespace: 'mesh', name: 'mesh-injector-tls' });
            const bundle = webhook.webhooks?.[0]?.clientConfig.caBundle;
            if (bundle === undefined || bundle !== secret?.data?.['ca.crt']) {
              throw new MeshError(
                'cli-not-ready',
                'the webhook does not trust the certificate that the injector serves',
                {
                  remedy:
                    'The injector repairs this within a minute: kubectl -n mesh logs deploy/mesh-injector',
                },
              );
            }
            checkValidity(
              new X509Certificate(Buffer.from(secret.data['tls.crt'] ?? '', 'base64')),
              'webhook certificate',
              clock,
            );
          },
        },
      ],
    },
    {
      name: 'mesh-version',
      checks: [
        {
          description: 'command and control plane have the same version',
          warning: true,
          async run() {
            const server = (await installed()).version;
            if (server === version) return;
            throw new MeshError('install-config', `the control plane is ${server}, this command ${version}`, {
              remedy: `Use the command of version ${server}, or bring the control plane to ${version}: ${install}`,
            });
          },
        },
      ],
    },
    {
      name: 'mesh-data-plane',
      checks: [
        {
          description: 'sidecars are ready',
          async run() {
            if (
              namespace !== undefined &&
              (await client.find(namespaces, { name: namespace })) === undefined
            ) {
              throw new MeshError('cli-input', `there is no namespace ${namespace}`, {
                remedy: 'Name one that the cluster has: kubectl get namespaces',
              });
            }
            const { items } = await client.listAll(pods, {
              namespace,
              labelSelector: controlPlaneLabel,
            });
            const trouble = items.flatMap((pod) =>
              podTrouble(pod, sidecarContainers).map((line) => `${pod.metadata.namespace}/${line}`),
            );
            if (trouble.length > 0) throw new MeshError('cli-not-ready', trouble.join('\n'));
          },
        },
        {
          description: 'every pod that is to have a sidecar has one',
          warning: true,
          async run() {
            const homes = new Map(
              (await client.listAll(namespaces)).items
                .filter(({ metadata }) => metadata.labels?.['mesh.io/is-control-plane'] === undefined)
                .map(({ metadata }) => [metadata.name, metadata.annotations ?? {}]),
            );
            const { items } = await client.listAll(pods, {
              namespace,
              labelSelector: `!${controlPlaneLabel},!mesh.io/component`,
            });
            const bare = items.filter((pod) =>
              shouldHaveSidecar(pod, homes.get(pod.metadata.namespace ?? '')),
            );
            if (bare.length > 0) {
              throw new MeshError(
                'cli-not-ready',
                `made while no injector was there: ${bare.map(keyOf).join(', ')}`,
                {
                  remedy:
                    'Have them made anew: kubectl -n NAMESPACE rollout restart deploy, or delete those that belong to none.',
                },
              );
            }
          },
        },
      ],
    },
  ];
}

/** Whether the injector would give this pod a sidecar, were it made now. */
function shouldHaveSidecar(
  { metadata, spec, status }: Stored<Pod>,
  home: Readonly<Record<string, string>> | undefined,
): boolean {
  // Where the webhook is not asked at all.
  if (home === undefined || metadata.namespace === 'kube-system') return false;
  if (metadata.deletionTimestamp !== undefined) return false;
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return false;
  return injectionDecision({ metadata, spec } as unknown as PodTemplate, home).inject;
}

const renewals = {
  'trust anchor': 'Replace it as docs/trust-rotation.md says.',
  issuer: `Sign a new one: ${install}`,
  'webhook certificate': 'The injector renews it; why it has not: kubectl -n mesh logs deploy/mesh-injector',
} as const;

function checkValidity(certificate: X509Certificate, what: keyof typeof renewals, clock: Clock): void {
  const now = clock.wall();
  if (now < Date.parse(certificate.validFrom)) {
    throw new MeshError(
      'cli-not-ready',
      `${what} is valid only from ${certificate.validFrom}; is a clock wrong?`,
    );
  }
  if (now > Date.parse(certificate.validTo)) {
    throw new MeshError('cli-not-ready', `${what} expired on ${certificate.validTo}`, {
      remedy: renewals[what],
    });
  }
}

function checkLasting(certificate: X509Certificate, what: keyof typeof renewals, clock: Clock): void {
  const days = Math.floor((Date.parse(certificate.validTo) - clock.wall()) / dayMs);
  if (days < soonDays) {
    throw new MeshError('cli-not-ready', `${what} expires in ${days} days, on ${certificate.validTo}`, {
      remedy: renewals[what],
    });
  }
}
