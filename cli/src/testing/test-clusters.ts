/** Clusters for tests of commands: real API servers, and one kubeconfig with a context for each. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { startApiserver } from '@mesh/apiserver/server';
import { createAnchor } from '@mesh/ca/authority';
import { resolveValues, storedValues } from '@mesh/charts/values';
import { systemClock as clock, systemRandom as random } from '@mesh/clock/system';
import { describeError } from '@mesh/errors/mesh-error';
import { KubeClient } from '@mesh/kube/client';
import { fromKubeconfig } from '@mesh/kube/config';
import { configMaps, customResourceDefinitions, namespaces, services } from '@mesh/kube/resources';
import { linkDefinition, multiclusterNamespace } from '@mesh/multicluster/link';
import { silentLogger } from '@mesh/telemetry/log';
import { eventually } from '@mesh/testkit/eventually';
import { parse, stringify } from 'yaml';
import { type Command, findCommand, parseWords } from '../command.ts';
import { links } from '@mesh/multicluster/link-resource';

export interface ClusterSetup {
  /** Name of the context. */
  context: string;
  /** Default: the name of the context. */
  cluster?: string;
  /** PEM; absent: no mesh is installed. */
  anchors?: string;
  /** Default `LoadBalancer`; `ClusterIP` has no address for other clusters; `none`: no extension. */
  gateway?: 'LoadBalancer' | 'ClusterIP' | 'none';
}

export interface TestClusters {
  client(context: string): KubeClient;
  run(commands: readonly Command[], line: string): Promise<Ran>;
}

/** `code` 1 when the command threw; then `notes` ends with the error as the user reads it. */
export interface Ran {
  code: number;
  out: string;
  notes: string;
}

export function anchorPem(): string {
  return createAnchor({ clock }).certificatePem;
}

export async function startClusters(
  test: TestContext,
  setups: readonly ClusterSetup[],
): Promise<TestClusters> {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-cli-'));
  const clients = new Map<string, KubeClient>();
  const merged = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [] as unknown[],
    users: [] as unknown[],
    contexts: [] as unknown[],
    'current-context': setups[0]?.context ?? '',
  };
  const closing: (() => Promise<void>)[] = [];
  for (const [index, setup] of setups.entries()) {
    const { context } = setup;
    const home = mkdtempSync(join(directory, 'api-'));
    const server = await startApiserver({
      cluster: context,
      directory: home,
      address: '127.0.0.1',
      port: 0,
      nodeName: 'node-1',
      serviceCidr: '10.96.0.0/16',
      clock,
      random,
      log: silentLogger,
      socketPath: join(home, 'api.sock'),
    });
    const file = join(home, 'admin.kubeconfig');
    const client = new KubeClient({ ...fromKubeconfig(file), clock });
    clients.set(context, client);
    closing.push(async () => {
      client.close();
      await server.close();
    });
    const own = parse(readFileSync(file, 'utf8')) as { clusters: object[]; users: object[] };
    merged.clusters.push({ ...own.clusters[0], name: context });
    merged.users.push({ ...own.users[0], name: context });
    merged.contexts.push({ name: context, context: { cluster: context, user: context } });
    await install(client, setup, `172.30.${index + 1}.1`);
  }
  const kubeconfig = join(directory, 'config');
  writeFileSync(kubeconfig, stringify(merged));
  test.after(async () => {
    for (const close of closing) await close();
    rmSync(directory, { recursive: true });
  });
  return {
    client(context) {
      const found = clients.get(context);
      if (found === undefined) throw new Error(`there is no context ${context}`);
      return found;
    },
    run: (commands, line) => runLine(commands, line, kubeconfig),
  };
}

async function install(
  client: KubeClient,
  { context, cluster = context, anchors, gateway = 'LoadBalancer' }: ClusterSetup,
  address: string,
): Promise<void> {
  if (anchors === undefined) return;
  for (const name of ['mesh', multiclusterNamespace]) await client.create(namespaces, { metadata: { name } });
  const values = storedValues(resolveValues({ cluster, anchors }));
  const inMesh = (name: string) => ({ name, namespace: 'mesh' });
  await client.create(configMaps, { metadata: inMesh('mesh-config'), data: { values } });
  await client.create(configMaps, {
    metadata: inMesh('mesh-trust-roots'),
    data: { 'ca-bundle.crt': anchors },
  });
  await client.create(customResourceDefinitions, structuredClone(linkDefinition) as never);
  await eventually('Links are served', async () => {
    await client.list(links, { namespace: multiclusterNamespace });
    return true;
  });
  if (gateway === 'none') return;
  const created = await client.create(services, {
    metadata: { name: 'mesh-gateway', namespace: multiclusterNamespace },
    spec: { type: gateway, selector: { app: 'gateway' }, ports: [{ name: 'mc-gateway', port: 4143 }] },
  });
  if (gateway !== 'LoadBalancer') return;
  await client.updateStatus(services, {
    ...created,
    status: { loadBalancer: { ingress: [{ ip: address }] } },
  });
}

async function runLine(commands: readonly Command[], line: string, kubeconfig: string): Promise<Ran> {
  const found = findCommand(commands, line.split(' '));
  if (found === undefined) throw new Error(`no command: ${line}`);
  const out: string[] = [];
  const notes: string[] = [];
  const output = {
    print: (text: string) => void out.push(text),
    note: (text: string) => void notes.push(text),
    paint: (_: unknown, text: string) => text,
    interactive: false,
  };
  let code = 0;
  try {
    const { flags, args } = parseWords(found.command, found.rest);
    const invocation = { flags, args, output, clock, environment: { KUBECONFIG: kubeconfig } };
    code = (await found.command.run(invocation as Parameters<Command['run']>[0])) ?? 0;
  } catch (thrown) {
    code = 1;
    notes.push(describeError(thrown));
  }
  return { code, out: out.join('\n'), notes: notes.join('\n') };
}
