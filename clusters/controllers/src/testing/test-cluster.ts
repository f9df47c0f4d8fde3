/**
 * An API server on a free port with all controllers, for tests: the embedded one, or kube-apiserver and etcd where
 * KUBEBUILDER_ASSETS names them.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { assetsVariable, findBinaries } from '@mesh/apiserver/kubernetes/binaries';
import { startKubernetes } from '@mesh/apiserver/kubernetes/kubernetes-server';
import { startApiserver, type ApiserverOptions } from '@mesh/apiserver/server';
import { systemClock, systemRandom } from '@mesh/clock/system';
import { parseCidr } from '@mesh/kube/cidr';
import { KubeClient } from '@mesh/kube/client';
import { fromKubeconfig } from '@mesh/kube/config';
import {
  customResource,
  customResourceDefinitions,
  deployments,
  namespaces,
  serviceAccounts,
} from '@mesh/kube/resources';
import type { Deployment, Pod, PodTemplateSpec } from '@mesh/kube/types';
import { eventually } from '@mesh/testkit/eventually';
import { createLogger, type Logger, silentLogger } from '@mesh/telemetry/log';
import { ControllerManager } from '../manager.ts';
import { PodRunner } from './pod-runner.ts';

export interface TestCluster {
  /** With all rights. */
  client: KubeClient;
  runner: PodRunner;
  /** How to reach the same server over its unix socket. */
  socketPath: string;
  /** Ends the API server, and starts it again on the same port and journal. */
  restart: (whileDown?: () => Promise<void>) => Promise<void>;
}

interface TestClusterOptions {
  nodes?: readonly string[];
  nodeGraceMs?: number;
}

export async function startTestCluster(
  test: TestContext,
  { nodes = ['node-1'], nodeGraceMs = 600_000 }: TestClusterOptions = {},
): Promise<TestCluster> {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-controllers-'));
  const log = testLogger();
  const options = {
    cluster: 'east',
    directory,
    address: '127.0.0.1',
    port: 0,
    nodeName: 'node-1',
    serviceCidr: '10.96.0.0/16',
    clock: systemClock,
    random: systemRandom,
    log,
    socketPath: join(directory, 'api.sock'),
  };
  let server = await startServer(options);
  const client = new KubeClient({
    ...fromKubeconfig(join(directory, 'admin.kubeconfig')),
    clock: systemClock,
  });
  const own = fromKubeconfig(join(directory, 'controllers.kubeconfig'));
  const controllers = new KubeClient({ ...own, clock: systemClock });
  const manager = new ControllerManager({
    client: controllers,
    clock: systemClock,
    random: systemRandom,
    log,
    clusterCa: own.ca,
    loadBalancerPool: parseCidr('172.30.0.0/28'),
    nodeGraceMs,
    podQuarantineMs: 500,
  });
  const runner = new PodRunner(client);
  test.after(async () => {
    await runner.stop();
    await manager.stop();
    controllers.close();
    client.close();
    await server.close();
    rmSync(directory, { recursive: true });
  });
  manager.start();
  await runner.start(nodes);
  const restart = async (whileDown: () => Promise<void> = async () => {}): Promise<void> => {
    const { port } = server;
    await server.close();
    await whileDown();
    server = await startServer({ ...options, port });
  };
  return { client, runner, restart, socketPath: options.socketPath };
}

const assets = process.env[assetsVariable] ?? '';

async function startServer(options: ApiserverOptions): Promise<{ port: number; close(): Promise<void> }> {
  if (assets === '') return await startApiserver(options);
  return await startKubernetes({ ...options, binaries: findBinaries(assets), output: 'ignore' });
}

function testLogger(): Logger {
  if (process.env['TEST_LOG'] === undefined) return silentLogger;
  return createLogger({ clock: systemClock, level: 'debug', write: (line) => process.stderr.write(line) });
}

/** A namespace that pods can be made in. */
export async function makeNamespace(client: KubeClient, name: string): Promise<string> {
  await client.create(namespaces, { metadata: { name } });
  await eventually('the default service account', async () => {
    return (await client.find(serviceAccounts, { namespace: name, name: 'default' })) !== undefined;
  });
  return name;
}

/** A template of one container; `version` tells templates apart. */
export function template(app: string, version = 'v1'): PodTemplateSpec {
  return {
    metadata: { labels: { app } },
    spec: {
      containers: [{ name: app, image: `${app}:${version}`, ports: [{ name: 'http', containerPort: 8080 }] }],
    },
  };
}

export async function makeDeployment(
  client: KubeClient,
  { namespace, name, replicas }: { namespace: string; name: string; replicas: number },
  spec: Partial<NonNullable<Deployment['spec']>> = {},
): Promise<void> {
  await client.create(deployments, {
    metadata: { name, namespace },
    spec: { replicas, selector: { matchLabels: { app: name } }, template: template(name), ...spec },
  });
}

export function isReadyPod(pod: Pod): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
}

/** Kind of custom objects that `defineWidgets` defines. */
export const widgets = customResource({
  group: 'example.io',
  version: 'v1',
  kind: 'Widget',
  plural: 'widgets',
  namespaced: true,
});

export async function defineWidgets(client: KubeClient): Promise<void> {
  await client.create(customResourceDefinitions, {
    metadata: { name: 'widgets.example.io' },
    spec: {
      group: 'example.io',
      scope: 'Namespaced',
      names: { plural: 'widgets', singular: 'widget', kind: 'Widget' },
      versions: [
        { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } },
      ],
    },
  });
}
