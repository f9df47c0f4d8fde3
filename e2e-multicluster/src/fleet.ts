/** Clusters as a user brings them up, by the command line, and what scenarios ask of them. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { systemClock } from '@mesh/clock/system';
import { serverSideApply } from '@mesh/kube/apply';
import { KubeClient } from '@mesh/kube/client';
import { fromKubeconfig } from '@mesh/kube/config';
import {
  configMaps,
  customResource,
  deployments,
  findBuiltIn,
  pods,
  serviceAccounts,
  services,
} from '@mesh/kube/resources';
import type { Container, KubeObject, Pod, Stored } from '@mesh/kube/types';
import { cut, heal, type LocalClusters, status, up } from '@mesh/local/local-clusters';
import type { LocalCluster } from '@mesh/local/state-directory';
import { type Link, linkGroup, linkVersion, multiclusterNamespace } from '@mesh/multicluster/link';
import { killContainer } from '@mesh/node/control-client';
import { eventually } from '@mesh/testkit/eventually';
import { parseAllDocuments } from 'yaml';
import { probeProgram } from './test-programs.ts';
import { type Answer, getInside } from './through-node.ts';

export const links = customResource<Link>({
  group: linkGroup,
  version: linkVersion,
  kind: 'Link',
  plural: 'links',
  namespaced: true,
});

export const shop = 'shop';
export const patience = { timeoutMs: 30_000, intervalMs: 50 };
const root = resolve(import.meta.dirname, '..', '..');

export interface CommandResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface LoadSample {
  /** When it was sent, milliseconds of the wall clock. */
  at: number;
  ms: number;
  /** 0 without an answer. */
  status: number;
  cluster: string;
  why: string;
}

export interface LoadOutcome {
  readonly total: number;
  /** The first hundred. */
  readonly failures: readonly (LoadSample & { readonly url: string })[];
  /** Milliseconds, from when the request was due. */
  readonly slowest: number;
}

interface AppOptions {
  program: string;
  port: number;
  /** Of the Service; default 80. */
  servicePort?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  /** Readiness; default: the port accepts connections. */
  probe?: NonNullable<Container['readinessProbe']>;
}

export class Fleet {
  readonly directory: string;
  readonly #local: LocalClusters;
  readonly #clients: Map<string, KubeClient> = new Map();

  private constructor(directory: string, local: LocalClusters) {
    this.directory = directory;
    this.#local = local;
  }

  /** Starts the clusters of a topology; they end with this process at the latest. */
  static async start(topology: string): Promise<Fleet> {
    const directory = mkdtempSync('/tmp/mesh-e2e-');
    try {
      const local = await up({
        topology,
        stateDir: join(directory, 'l'),
        attached: true,
        removeAlso: directory,
      });
      return new Fleet(directory, local);
    } catch (thrown) {
      rmSync(directory, { recursive: true, force: true });
      throw thrown;
    }
  }

  /** Starts, installs everything, the shop included, and links each with each. */
  static async linked(topology: string): Promise<Fleet> {
    const fleet = await Fleet.start(topology);
    try {
      await fleet.trust('trust');
      await Promise.all(fleet.names.map((name) => fleet.install(name, 'trust')));
      await fleet.expect('multicluster', 'link', ...fleet.names, '--timeout', '60');
      await Promise.all(fleet.names.map((name) => fleet.shop(name)));
      return fleet;
    } catch (thrown) {
      await fleet.end();
      throw thrown;
    }
  }

  async end(): Promise<void> {
    for (const client of this.#clients.values()) client.close();
    await this.#local.down();
    rmSync(this.directory, { recursive: true, force: true });
  }

  get names(): string[] {
    return this.#local.clusters.map(({ name }) => name);
  }

  get kubeconfig(): string {
    return this.#local.kubeconfig;
  }

  /** What the state file says now: processes change when they are started again. */
  cluster(name: string): LocalCluster {
    const found = status({ stateDir: this.#local.stateDir })?.clusters.find((each) => each.name === name);
    assert.ok(found !== undefined, `cluster ${name} runs`);
    return found;
  }

  kube(name: string): KubeClient {
    const known = this.#clients.get(name);
    if (known !== undefined) return known;
    const client = new KubeClient({ ...fromKubeconfig(this.#local.kubeconfig, name), clock: systemClock });
    this.#clients.set(name, client);
    return client;
  }

  /** Runs `mesh ARGS`. */
  mesh(...args: string[]): Promise<CommandResult> {
    const child = spawn(process.execPath, [join(root, 'dist', 'mesh.js'), ...args], {
      env: { ...process.env, KUBECONFIG: this.#local.kubeconfig },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const result = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => (result.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (result.stderr += text));
    return new Promise((done, reject) => {
      child.on('error', reject);
      child.on('close', (code) => done({ code, ...result }));
    });
  }

  /** As `mesh`, which must succeed. */
  async expect(...args: string[]): Promise<CommandResult> {
    const result = await this.mesh(...args);
    assert.equal(result.code, 0, `mesh ${args.join(' ')}\n${result.stdout}${result.stderr}`);
    return result;
  }

  trustDirectory(name: string): string {
    return join(this.directory, name);
  }

  async trust(name: string): Promise<void> {
    await this.expect('trust', 'init', this.trustDirectory(name));
  }

  async install(name: string, trust: string): Promise<void> {
    const to = ['--apply', '--context', name];
    await this.expect('install', '--cluster', name, '--trust', this.trustDirectory(trust), ...to);
    await this.expect('multicluster', 'install', ...to);
  }

  /** The shop, and beside it the probe that asks on behalf of tests. */
  async shop(name: string): Promise<void> {
    const kube = this.kube(name);
    const manifests = readFileSync(join(root, 'clusters', 'apps', 'manifests', 'shop.yaml'), 'utf8');
    for (const document of parseAllDocuments(manifests)) {
      const object = document.toJS() as KubeObject & { metadata: { name: string } };
      const type = findBuiltIn(object.apiVersion ?? '', object.kind ?? '');
      assert.ok(type !== undefined, `${object.kind} is a known kind`);
      await serverSideApply(kube, type, object, { fieldManager: 'e2e' });
    }
    await kube.create(configMaps, {
      metadata: { name: 'cluster', namespace: shop },
      data: { name },
    });
    await this.app(name, 'probe', { program: probeProgram, port: 8080 });
    for (const app of ['frontend', 'cart', 'catalog', 'ratings', 'probe']) await this.ready(name, app);
  }

  /** A Deployment of one meshed pod that runs `program`, with ServiceAccount and Service of the same name. */
  async app(cluster: string, name: string, options: AppOptions): Promise<void> {
    const { program, port, servicePort = 80, labels = {}, annotations = {}, probe } = options;
    const kube = this.kube(cluster);
    const fieldManager = 'e2e';
    const metadata = { name, namespace: shop };
    await serverSideApply(kube, serviceAccounts, { metadata }, { fieldManager });
    await serverSideApply(
      kube,
      deployments,
      {
        metadata,
        spec: {
          replicas: 1,
          selector: { matchLabels: { app: name } },
          template: {
            metadata: { labels: { app: name }, annotations },
            spec: {
              serviceAccountName: name,
              containers: [
                {
                  name,
                  image: 'none',
                  command: ['node', '-e', program],
                  env: [{ name: 'CLUSTER', value: cluster }],
                  ports: [{ name: 'app', containerPort: port }],
                  readinessProbe: { ...(probe ?? { tcpSocket: { port } }), periodSeconds: 1 },
                },
              ],
            },
          },
        },
      },
      { fieldManager },
    );
    const ports = [{ name: 'app', port: servicePort, targetPort: port }];
    await serverSideApply(
      kube,
      services,
      { metadata: { ...metadata, labels, annotations }, spec: { selector: { app: name }, ports } },
      { fieldManager },
    );
  }

  /** The ready pod of an app. */
  async ready(cluster: string, app: string, namespace = shop): Promise<Stored<Pod>> {
    return await eventually(
      `${app} is ready in ${cluster}`,
      async () => {
        const { items } = await this.kube(cluster).listAll(pods, { namespace });
        return items.find(
          ({ metadata, status: now }) =>
            metadata.deletionTimestamp === undefined &&
            (metadata.labels?.['app'] === app || metadata.name.startsWith(`${app}-`)) &&
            now?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') === true,
        );
      },
      { ...patience, timeoutMs: 60_000 },
    );
  }

  /** GET at a pod of an app, from its own cluster's node: no client of the mesh. */
  async get(
    cluster: string,
    { app, port, path, namespace = shop }: { app: string; port: number; path: string; namespace?: string },
  ): Promise<Answer> {
    const pod = await this.ready(cluster, app, namespace);
    const address = pod.status?.podIP ?? '';
    return await getInside(this.cluster(cluster).controlSocket, { address, port, path });
  }

  async #probe<Result>(cluster: string, path: string, query: Record<string, string>): Promise<Result> {
    const text = new URLSearchParams(query).toString();
    const { body } = await this.get(cluster, { app: 'probe', port: 8080, path: `${path}?${text}` });
    return JSON.parse(body) as Result;
  }

  /** What the meshed probe pod of a cluster gets from `url`; status 0 without an answer. */
  ask(cluster: string, url: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.#probe(cluster, '/ask', { url, headers: JSON.stringify(headers) });
  }

  /** Sends a text over TCP from the probe pod, ends its side, and gives all that came back. */
  tcp(
    cluster: string,
    { host, port, send }: { host: string; port: number; send: string },
  ): Promise<{ got: string; error?: string }> {
    return this.#probe(cluster, '/tcp', { host, port: String(port), send });
  }

  /** Starts a steady load from the probe pod, open loop; several URLs, separated by spaces, are asked in turn. */
  async load(cluster: string, { url, rate }: { url: string; rate: number }): Promise<void> {
    await this.#probe(cluster, '/load', { url, rate: String(rate) });
  }

  /** The latest samples of the load. */
  recent(cluster: string): Promise<LoadSample[]> {
    return this.#probe(cluster, '/now', {});
  }

  /** Ends the load and gives all its samples. */
  endLoad(cluster: string): Promise<LoadSample[]> {
    return this.#probe(cluster, '/samples', {});
  }

  /** Ends the load and gives its sums. */
  loadOutcome(cluster: string): Promise<LoadOutcome> {
    return this.#probe(cluster, '/outcome', {});
  }

  async gatewayMetrics(cluster: string): Promise<string> {
    return (
      await this.get(cluster, {
        app: 'mesh-gateway',
        namespace: multiclusterNamespace,
        port: 4191,
        path: '/metrics',
      })
    ).body;
  }

  async proxyMetrics(cluster: string, app: string): Promise<string> {
    return (await this.get(cluster, { app, port: 4191, path: '/metrics' })).body;
  }

  /** Where other clusters reach the gateway. */
  async gatewayAddress(cluster: string): Promise<string> {
    const { status: now } = await this.kube(cluster).get(services, {
      namespace: multiclusterNamespace,
      name: 'mesh-gateway',
    });
    const address = now?.loadBalancer?.ingress?.[0]?.ip;
    assert.ok(address !== undefined, `the gateway of ${cluster} has an address`);
    return address;
  }

  /** Sets labels of a Service; null removes one. */
  label(cluster: string, service: string, labels: Record<string, string | null>): Promise<void> {
    return this.#mark(cluster, service, { labels });
  }

  /** Sets annotations of a Service; null removes one. */
  annotate(cluster: string, service: string, annotations: Record<string, string | null>): Promise<void> {
    return this.#mark(cluster, service, { annotations });
  }

  async #mark(cluster: string, name: string, metadata: object): Promise<void> {
    const body = { metadata };
    await this.kube(cluster).patch(services, { namespace: shop, name }, { patch: { type: 'merge', body } });
  }

  /** Drops every packet between a cluster and the others. */
  async cut(cluster: string): Promise<void> {
    await cut({ stateDir: this.#local.stateDir, cluster });
  }

  async heal(cluster: string): Promise<void> {
    await heal({ stateDir: this.#local.stateDir, cluster });
  }

  async scale(cluster: string, name: string, replicas: number, namespace = shop): Promise<void> {
    await this.kube(cluster).patch(
      deployments,
      { namespace, name },
      { patch: { type: 'merge', body: { spec: { replicas } } } },
    );
  }

  /** As `kubectl rollout restart`, and waits until every pod is a new one. */
  async restart(cluster: string, name: string, namespace = shop): Promise<void> {
    const kube = this.kube(cluster);
    const restartedAt = new Date().toISOString();
    await kube.patch(
      deployments,
      { namespace, name },
      {
        patch: {
          type: 'merge',
          body: {
            spec: {
              template: { metadata: { annotations: { 'kubectl.kubernetes.io/restartedAt': restartedAt } } },
            },
          },
        },
      },
    );
    await eventually(
      `${name} is restarted in ${cluster}`,
      async () => {
        const { metadata, spec, status: now } = await kube.get(deployments, { namespace, name });
        const wanted = spec?.replicas ?? 1;
        return (
          (now?.observedGeneration ?? 0) >= (metadata.generation ?? 0) &&
          now?.updatedReplicas === wanted &&
          now.replicas === wanted &&
          now.availableReplicas === wanted
        );
      },
      { ...patience, timeoutMs: 60_000 },
    );
  }

  /** SIGKILL to a container of an app's pod, and no other copy in its place. Returns when, wall-clock milliseconds. */
  async crash(
    cluster: string,
    { app, container, namespace = shop }: { app: string; container: string; namespace?: string },
  ): Promise<number> {
    const pod = await this.ready(cluster, app, namespace);
    const at = Date.now();
    await Promise.all([
      killContainer(this.cluster(cluster).controlSocket, { namespace, pod: pod.metadata.name, container }),
      this.scale(cluster, app, 0, namespace),
    ]);
    return at;
  }

  async mirror(cluster: string, name: string): Promise<KubeObject | undefined> {
    return await this.kube(cluster).find(services, { namespace: shop, name });
  }
}

/** Value of the one series whose name matches and that carries all `labels`; 0 when there is none. */
export function metric(text: string, name: string, labels: Readonly<Record<string, string>>): number {
  let sum = 0;
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${name}{`)) continue;
    if (!Object.entries(labels).every(([key, value]) => line.includes(`${key}="${value}"`))) continue;
    sum += Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
}
