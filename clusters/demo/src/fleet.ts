/** The three clusters of the demo, brought up by the commands that a person would type. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '@mesh/clock/clock';
import { sleep } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import { KubeClient } from '@mesh/kube/client';
import { serverSideApply } from '@mesh/kube/apply';
import { fromKubeconfig } from '@mesh/kube/config';
import { deployments, findBuiltIn, pods, services } from '@mesh/kube/resources';
import type { KubeObject, Pod, Stored } from '@mesh/kube/types';
import { type LocalClusters, up } from '@mesh/local/local-clusters';
import { dialCluster, killContainer } from '@mesh/node/control-client';
import { parseAllDocuments } from 'yaml';

export const clusterNames = ['east', 'west', 'north'] as const;
export type ClusterName = (typeof clusterNames)[number];

const shop = 'shop';

interface FleetOptions {
  /** The repository. */
  root: string;
  stateDir: string;
  /** Goes with the clusters, unless they are kept. */
  work: string;
  clock: Clock;
  /** Shown as it happens: commands and what they said. */
  say: (line: string) => void;
}

const gatewayReadyMs = 30_000;

export class Fleet {
  readonly local: LocalClusters;
  readonly #options: FleetOptions;
  readonly #clients: Map<string, KubeClient> = new Map();

  constructor(local: LocalClusters, options: FleetOptions) {
    this.local = local;
    this.#options = options;
    for (const { name, kubeconfig } of local.clusters) {
      this.#clients.set(name, new KubeClient({ ...fromKubeconfig(kubeconfig), clock: options.clock }));
    }
  }

  /** `keep`: the clusters outlive this process. */
  static async start(options: FleetOptions & { keep: boolean }): Promise<Fleet> {
    options.say('$ mesh local up');
    const { stateDir, keep, work } = options;
    const lifetime = keep ? { keepData: true } : { attached: true, removeAlso: work };
    return new Fleet(await up({ topology: 'three', stateDir, ...lifetime }), options);
  }

  async stop(): Promise<void> {
    this.close();
    await this.local.down();
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
  }

  client(cluster: string): KubeClient {
    const client = this.#clients.get(cluster);
    if (client === undefined) throw new Error(`no cluster ${cluster}`);
    return client;
  }

  /** Runs `mesh ARGS`. @throws MeshError demo-command with what it wrote, when it fails */
  async mesh(args: readonly string[], { quiet = false } = {}): Promise<string> {
    const { root, say } = this.#options;
    if (!quiet) say(`$ mesh ${args.join(' ')}`);
    const child = spawn(process.execPath, [join(root, 'dist/mesh.js'), ...args], {
      env: { ...process.env, KUBECONFIG: this.local.kubeconfig },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let written = '';
    let result = '';
    child.stdout.on('data', (chunk: Buffer) => {
      written += chunk.toString('utf8');
      result += chunk.toString('utf8');
    });
    child.stderr.on('data', (chunk: Buffer) => {
      written += chunk.toString('utf8');
    });
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
    if (code !== 0)
      throw new MeshError('demo-command', `mesh ${args.join(' ')} ended with ${code}:\n${written.trim()}`);
    return result.trimEnd();
  }

  /** Applies a manifest of clusters/apps to one cluster. */
  async apply(cluster: string, file: string): Promise<void> {
    const text = readFileSync(join(this.#options.root, 'clusters/apps/manifests', file), 'utf8');
    for (const document of parseAllDocuments(text)) {
      const object = document.toJS() as KubeObject & { metadata: { name: string; namespace?: string } };
      const type = findBuiltIn(object.apiVersion ?? '', object.kind ?? '');
      if (type === undefined) throw new Error(`${file}: ${object.kind} is not known`);
      await serverSideApply(this.client(cluster), type, object, { fieldManager: 'mesh-demo' });
    }
  }

  /** Waits until every Deployment of the namespace is ready. */
  async ready(cluster: string, namespace: string, timeoutMs: number): Promise<void> {
    const { clock } = this.#options;
    const deadline = clock.now() + timeoutMs;
    for (;;) {
      const { items } = await this.client(cluster).listAll(deployments, { namespace });
      const waiting = items.filter(
        ({ spec, status }) => (status?.readyReplicas ?? 0) < (spec?.replicas ?? 1),
      );
      if (items.length > 0 && waiting.length === 0) return;
      if (clock.now() > deadline) {
        const names = waiting.map(({ metadata }) => metadata.name).join(', ');
        throw new MeshError(
          'demo-command',
          `cluster ${cluster}: not ready after ${timeoutMs / 1000} s: ${names}`,
        );
      }
      await sleep(clock, 100);
    }
  }

  /** Sets, or with null removes, a label or annotation of Service cart. */
  async markCart(
    cluster: string,
    field: 'labels' | 'annotations',
    values: Readonly<Record<string, string | null>>,
  ): Promise<void> {
    const patch = { type: 'merge', body: { metadata: { [field]: values } } } as const;
    await this.client(cluster).patch(services, { namespace: shop, name: 'cart' }, { patch });
  }

  /** Kills the containers of a Deployment with SIGKILL and keeps them dead; returns the moment of the first kill. */
  async kill(cluster: string, ref: { namespace: string; name: string; container: string }): Promise<number> {
    const { clock } = this.#options;
    const client = this.client(cluster);
    const label = ref.namespace === shop ? `app=${ref.name}` : `mesh.io/component=${ref.name}`;
    const { items } = await client.listAll(pods, { namespace: ref.namespace, labelSelector: label });
    const { controlSocket = '' } = this.local.clusters.find(({ name }) => name === cluster) ?? {};
    const at = clock.wall();
    await Promise.all(
      items.map((pod) =>
        killContainer(controlSocket, {
          namespace: ref.namespace,
          pod: pod.metadata.name,
          container: ref.container,
        }),
      ),
    );
    await this.scale(cluster, ref, 0);
    return at;
  }

  async scale(
    cluster: string,
    { namespace, name }: { namespace: string; name: string },
    replicas: number,
  ): Promise<void> {
    const patch = { type: 'merge', body: { spec: { replicas } } } as const;
    await this.client(cluster).patch(deployments, { namespace, name }, { patch });
  }

  /** Follows the log of the load until `signal`. */
  async followLoad(cluster: string, onLine: (line: string) => void, signal: AbortSignal): Promise<void> {
    const client = this.client(cluster);
    const { items } = await client.listAll(pods, { namespace: shop, labelSelector: 'app=load' });
    const name = items.at(0)?.metadata.name;
    if (name === undefined) throw new Error('the load has no pod');
    const stream = await client.stream(
      `/api/v1/namespaces/${shop}/pods/${name}/log?container=load&follow=true`,
      { signal },
    );
    let rest = '';
    for await (const chunk of stream) {
      const lines = (rest + chunk.toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line);
    }
  }

  /** The metrics page of a cluster's gateway. */
  async gatewayMetrics(cluster: string): Promise<string> {
    // The one that was started again may just be on its way, and the one before it not gone yet.
    await this.ready(cluster, 'mesh-multicluster', gatewayReadyMs);
    const { items } = await this.client(cluster).listAll(pods, {
      namespace: 'mesh-multicluster',
      labelSelector: 'mesh.io/component=mesh-gateway',
    });
    const { controlSocket = '' } = this.local.clusters.find(({ name }) => name === cluster) ?? {};
    const socket = await dialCluster(controlSocket, {
      address: items.find(isReady)?.status?.podIP ?? '',
      port: 4191,
    });
    // Not ended: the page of several workers takes a moment, and Node's server answers nobody who has said goodbye.
    socket.write('GET /metrics HTTP/1.0\r\nhost: gateway\r\n\r\n');
    const chunks: Buffer[] = [];
    for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
    return Buffer.concat(chunks).toString('utf8');
  }
}

function isReady({ metadata, status }: Stored<Pod>): boolean {
  const condition = status?.conditions?.find(({ type }) => type === 'Ready');
  return metadata.deletionTimestamp === undefined && condition?.status === 'True';
}
