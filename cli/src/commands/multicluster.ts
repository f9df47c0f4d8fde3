import { multicluster } from '@mesh/charts/multicluster';
import { parseStoredValues } from '@mesh/charts/values';
import { type Clock, sleep } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import { isNotFound } from '@mesh/kube/api-error';
import { serverSideApply } from '@mesh/kube/apply';
import type { KubeClient } from '@mesh/kube/client';
import { configMaps } from '@mesh/kube/resources';
import {
  type Link,
  linkGroup,
  linkVersion,
  type LinkSpec,
  multiclusterNamespace,
} from '@mesh/multicluster/link';
import { applyAll, inContext, waitForDeployments } from '../apply.ts';
import { runChecks } from '../checks/run.ts';
import { multiclusterChecks } from '../checks/multicluster.ts';
import { connectCluster } from '../cluster-access.ts';
import { clusterFlags, command, type Command, outputFlag } from '../command.ts';
import { checkLinkable, type LinkedCluster, linkGap, linkTo, readCluster } from '../linked-cluster.ts';
import { links } from '@mesh/multicluster/link-resource';
import { printManifests } from '../manifests.ts';
import { type Output, table } from '../output.ts';
import { multiclusterDeployments } from '../parts.ts';

const contexts = { kubeconfig: clusterFlags.kubeconfig } as const;
const addressWaitMs = 30_000;

export const multiclusterCommands: readonly Command[] = [
  command({
    name: 'multicluster install',
    summary: 'Print, or apply, gateway and mirror controller',
    flags: {
      ...clusterFlags,
      apply: { kind: 'boolean', doc: 'Apply to the cluster and wait until it is ready.' },
    },
    examples: ['mesh multicluster install | kubectl apply -f -'],
    async run({ flags, output, clock, environment }) {
      const client = connectCluster({ flags, environment, clock });
      try {
        const stored = await client.find(configMaps, { namespace: 'mesh', name: 'mesh-config' });
        if (stored === undefined) {
          throw new MeshError('not-installed', 'the cluster has no mesh yet', {
            remedy: 'First: mesh install --cluster NAME --trust DIR --apply',
          });
        }
        const values = parseStoredValues(stored.data?.['values'] ?? '');
        const objects = multicluster(values);
        if (!flags.apply) {
          output.print(printManifests(objects, 'yaml'));
          return;
        }
        await applyAll(client, objects, { clock });
        output.note(`applied ${objects.length} objects to ${client.server}; waiting until they are ready`);
        await waitForDeployments(client, multiclusterDeployments, { clock, timeoutMs: 120_000 });
        output.print(
          `${output.paint('green', '√')} cluster ${values.cluster} has a gateway and a mirror controller`,
        );
      } finally {
        client.close();
      }
    },
  }),
  command({
    name: 'multicluster link',
    summary: 'Link two or more clusters, each with each',
    args: 'EAST WEST [NORTH…]',
    arity: [2, 100],
    details:
      'Arguments are contexts of the kubeconfig. Every cluster gets a Link to every other one; no credential is\n' +
      'exchanged. Waits until each direction is proven by an answered request through the gateway.',
    flags: {
      ...contexts,
      timeout: { kind: 'text', doc: 'Seconds to wait for the proof.', value: 'SECONDS', default: '60' },
    },
    examples: ['mesh multicluster link east west north'],
    async run({ args, flags, output, clock, environment }) {
      const timeoutMs = seconds('--timeout', flags.timeout) * 1000;
      await withClusters({ args, flags, clock, environment }, async (clusters) => {
        checkLinkable(clusters);
        for (const cluster of clusters) {
          for (const target of clusters) {
            if (target === cluster) continue;
            const written = serverSideApply(cluster.client, links, linkObject(linkTo(target)), {
              fieldManager: 'mesh-cli',
            });
            await inContext(cluster.context, written);
            output.note(
              `cluster ${cluster.cluster}: Link ${target.cluster} written (gateway ${target.gatewayAddresses.join(', ')}:${target.gatewayPort})`,
            );
          }
        }
        for (const cluster of clusters) noteGap(cluster, output);
        await proveLinks(clusters, { output, clock, timeoutMs });
      });
    },
  }),
  command({
    name: 'multicluster link-gen',
    summary: 'Print the Link with which other clusters reach this one',
    details: 'For GitOps: apply the output in the cluster that imports. Linking needs one in each direction.',
    flags: {
      ...clusterFlags,
      'gateway-address': {
        kind: 'list',
        doc: 'Address that other clusters reach the gateway at.',
        value: 'ADDRESS',
      },
      output: outputFlag('yaml', 'json'),
    },
    examples: ['mesh multicluster link-gen --context west | kubectl --context east apply -f -'],
    async run({ flags, output, clock, environment }) {
      const client = connectCluster({ flags, environment, clock });
      try {
        const target = await readCluster(flags.context ?? 'current', client, {
          clock,
          waitForAddressMs: 0,
          givenAddresses: flags['gateway-address'],
        });
        noteGap(target, output);
        const object = linkObject(linkTo(target)) as unknown as Parameters<typeof printManifests>[0][number];
        output.print(printManifests([object], flags.output));
      } finally {
        client.close();
      }
    },
  }),
  command({
    name: 'multicluster unlink',
    summary: 'Take the links between clusters away, with everything they brought',
    args: 'EAST WEST [NORTH…]',
    arity: [2, 100],
    flags: {
      ...contexts,
      timeout: { kind: 'text', doc: 'Seconds to wait for the clean-up.', value: 'SECONDS', default: '60' },
    },
    async run({ args, flags, output, clock, environment }) {
      const timeoutMs = seconds('--timeout', flags.timeout) * 1000;
      await withNames({ args, flags, clock, environment }, async (clusters) => {
        const gone: { client: KubeClient; from: string; to: string }[] = [];
        for (const { context, client, cluster } of clusters) {
          for (const other of clusters) {
            if (other.cluster === cluster) continue;
            let found = true;
            const ref = { namespace: multiclusterNamespace, name: other.cluster };
            const deleted = client.delete(links, ref).catch((thrown: unknown) => {
              if (!isNotFound(thrown)) throw thrown;
              found = false;
            });
            await inContext(context, deleted);
            if (found) gone.push({ client, from: cluster, to: other.cluster });
            else output.note(`cluster ${cluster} has no Link ${other.cluster}`);
          }
        }
        const deadline = clock.now() + timeoutMs;
        for (const { client, from, to } of gone) {
          while ((await client.find(links, { namespace: multiclusterNamespace, name: to })) !== undefined) {
            if (clock.now() > deadline) {
              throw new MeshError(
                'link-unproven',
                `Link ${to} in cluster ${from} is still being cleaned up after ${flags.timeout} s`,
                {
                  remedy: `Its mirror controller removes what it brought; see: kubectl -n ${multiclusterNamespace} logs deploy/mesh-mirror`,
                },
              );
            }
            await sleep(clock, 200);
          }
          output.print(`${output.paint('green', '√')} ${from} no longer reaches ${to}; its mirrors are gone`);
        }
      });
    },
  }),
  command({
    name: 'multicluster gateways',
    summary: "Show the gateways of this cluster's peers",
    flags: {
      ...clusterFlags,
      output: outputFlag('table', 'json'),
    },
    async run({ flags, output, clock, environment }) {
      const client = connectCluster({ flags, environment, clock });
      try {
        const { items } = await client.listAll(links, { namespace: multiclusterNamespace });
        if (flags.output === 'json') output.print(JSON.stringify(items.map(gatewayRow), undefined, 2));
        else if (items.length === 0) output.note('No links found.');
        else for (const line of gatewayTable(items, output)) output.print(line);
      } finally {
        client.close();
      }
    },
  }),
  command({
    name: 'multicluster check',
    summary: 'Check the multi-cluster extension and each link',
    flags: {
      ...clusterFlags,
      output: outputFlag('table', 'short', 'json'),
    },
    async run({ flags, output, clock, environment }) {
      const client = connectCluster({ flags, environment, clock });
      try {
        return await runChecks(multiclusterChecks({ client, clock }), { output, format: flags.output });
      } finally {
        client.close();
      }
    },
  }),
];

function noteGap(target: LinkedCluster, output: Output): void {
  const gap = linkGap(target);
  if (gap !== undefined) output.note(gap);
}

function linkObject(spec: LinkSpec): Link & { metadata: { name: string; namespace: string } } {
  return {
    apiVersion: `${linkGroup}/${linkVersion}`,
    kind: 'Link',
    metadata: { name: spec.cluster, namespace: multiclusterNamespace },
    spec,
  };
}

interface ContextsInvocation {
  args: readonly string[];
  flags: { readonly kubeconfig: string | undefined };
  clock: Clock;
  environment: Readonly<Record<string, string | undefined>>;
}

async function withClients<Result>(
  { args, flags, clock, environment }: ContextsInvocation,
  act: (clients: { context: string; client: KubeClient }[]) => Promise<Result>,
): Promise<Result> {
  const unique = [...new Set(args)];
  if (unique.length < 2) {
    throw new MeshError(
      'cli-usage',
      `at least two contexts are needed; ${unique.join()} is the only one named`,
      { remedy: 'Name a context of the kubeconfig for each cluster: kubectl config get-contexts' },
    );
  }
  const access = { flags: { ...flags, context: undefined }, environment, clock };
  const clients = unique.map((context) => ({ context, client: connectCluster(access, context) }));
  try {
    return await act(clients);
  } finally {
    for (const { client } of clients) client.close();
  }
}

function withClusters(
  invocation: ContextsInvocation,
  act: (clusters: LinkedCluster[]) => Promise<void>,
): Promise<void> {
  const { clock } = invocation;
  return withClients(invocation, async (clients) => {
    const read = clients.map(({ context, client }) =>
      inContext(context, readCluster(context, client, { clock, waitForAddressMs: addressWaitMs })),
    );
    await act(await Promise.all(read));
  });
}

/** Only the cluster names: unlinking must work when a gateway has no address any more. */
function withNames(
  invocation: ContextsInvocation,
  act: (clusters: { context: string; client: KubeClient; cluster: string }[]) => Promise<void>,
): Promise<void> {
  return withClients(invocation, async (clients) => {
    await act(
      await Promise.all(
        clients.map(async ({ context, client }) => {
          const stored = await inContext(
            context,
            client.find(configMaps, { namespace: 'mesh', name: 'mesh-config' }),
          );
          if (stored === undefined) {
            throw new MeshError('not-installed', `context ${context} has no mesh`, {
              remedy: `Name only clusters that have it; see: mesh check --context ${context}`,
            });
          }
          return { context, client, cluster: parseStoredValues(stored.data?.['values'] ?? '').cluster };
        }),
      ),
    );
  });
}

async function proveLinks(
  clusters: readonly LinkedCluster[],
  { output, clock, timeoutMs }: { output: Output; clock: Clock; timeoutMs: number },
): Promise<void> {
  const deadline = clock.now() + timeoutMs;
  for (const { client, cluster, context } of clusters) {
    for (const { cluster: peer } of clusters) {
      if (peer === cluster) continue;
      for (;;) {
        const { metadata, status: found } = await client.get(links, {
          namespace: multiclusterNamespace,
          name: peer,
        });
        const status = isCurrent(metadata, found) ? found : undefined;
        const connected = status?.conditions?.find(({ type }) => type === 'Connected');
        if (
          connected?.status === 'True' &&
          status?.conditions?.find(({ type }) => type === 'Synced')?.status === 'True'
        ) {
          const rtt = status.rttMs === undefined ? '' : `, ${status.rttMs} ms`;
          output.print(
            `${output.paint('green', '√')} ${cluster} → ${peer}: answered through the gateway${rtt}`,
          );
          break;
        }
        if (clock.now() > deadline) {
          const why =
            connected === undefined
              ? 'the mirror controller has not looked at it yet'
              : `${connected.reason}: ${connected.message}`;
          throw new MeshError(
            'link-unproven',
            `${cluster} → ${peer} is written but not proven after ${timeoutMs / 1000} s: ${why}`,
            {
              remedy: `mesh multicluster check --context ${context}`,
            },
          );
        }
        await sleep(clock, 200);
      }
    }
  }
}

/** Whether a status is about the Link as it is now, not as it was before it was written again. */
function isCurrent({ generation }: Link['metadata'], status: Link['status']): boolean {
  return status?.observedGeneration === undefined || status.observedGeneration === generation;
}

function gatewayRow({ metadata, spec, status }: Link): Record<string, unknown> {
  return {
    cluster: metadata.name,
    state: status?.gateway ?? 'unknown',
    services: status?.services ?? 0,
    rttMs: status?.rttMs ?? null,
    lastSeen: status?.lastSeen ?? null,
    addresses: spec.gatewayAddresses,
  };
}

/** CLUSTER, STATE, SERVICES, LATENCY, LAST SEEN; one row per linked cluster. */
function gatewayTable(items: readonly Link[], output: Pick<Output, 'paint'>): string[] {
  const colours = { alive: 'green', dead: 'red', unknown: 'yellow' } as const;
  const rows = items.map(({ metadata, status }) => {
    const state = status?.gateway ?? 'unknown';
    return [
      metadata.name ?? '',
      output.paint(colours[state], state),
      String(status?.services ?? 0),
      status?.rttMs === undefined ? '-' : `${status.rttMs}ms`,
      status?.lastSeen ?? '-',
    ];
  });
  return table(['CLUSTER', 'STATE', 'SERVICES', 'LATENCY', 'LAST SEEN'], rows, [2, 3]);
}

function seconds(flag: string, value: string): number {
  const number = Number(value);
  if (!Number.isFinite(number) || number < 0 || value.trim() === '') {
    throw new MeshError('cli-usage', `${flag} ${JSON.stringify(value)} is no number of seconds`, {
      remedy: `Name seconds, without a unit: ${flag} 60`,
    });
  }
  return number;
}
