/** The API of one local cluster, served by Kubernetes' own kube-apiserver and etcd. */
import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { sleep, type Clock } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import { KubeClient } from '@mesh/kube/client';
import type { Logger } from '@mesh/telemetry/log';
import { kubeletClient, servingNames, writeCredentials } from '../credentials.ts';
import { loadClusterKeys, type ClusterKeys, type KeyPair } from '../pki.ts';
import type { KubernetesBinaries } from './binaries.ts';
import {
  apiserverFlags,
  egressConfiguration,
  etcdFlags,
  kubernetesFiles,
  type KubernetesFiles,
} from './flags.ts';
import { localRoles } from './local-roles.ts';
import { ServerProcesses } from './server-process.ts';
import { SocketRelay } from './socket-relay.ts';

export interface KubernetesOptions {
  binaries: KubernetesBinaries;
  cluster: string;
  directory: string;
  address: string;
  /** 0 takes a free port. */
  port: number;
  /** Unix socket path beside the TCP port. */
  socketPath?: string;
  /** How pods reach this server. kube-apiserver itself names its own port there. */
  podEndpoint?: { address: string; port: number };
  /** Unix socket of the node that connects to addresses of the cluster's network. */
  webhookRelayPath?: string;
  /** Where the log lines of the two programs go. Default: where ours do. */
  output?: 'inherit' | 'ignore';
  nodeName: string;
  serviceCidr: string;
  clock: Clock;
  log: Logger;
}

export interface KubernetesServer {
  readonly port: number;
  readonly url: string;
  readonly keys: ClusterKeys;
  /** Resolves, with the reason, when one of the programs ended although nobody asked. */
  readonly broken: Promise<string>;
  close(): Promise<void>;
}

const startPatienceMs = 90_000;
const pollMs = 100;
const etcdPollMs = 10;

/**
 * Starts both programs and resolves when the server is ready and the kubeconfigs are written.
 * @throws MeshError local-clusters when a program ends or is not ready after 90 s
 */
export async function startKubernetes(options: KubernetesOptions): Promise<KubernetesServer> {
  const { binaries, directory, clock, address, podEndpoint, webhookRelayPath } = options;
  const files = kubernetesFiles(directory);
  mkdirSync(dirname(files.etcdSocket), { recursive: true, mode: 0o700 });
  const keys = await loadClusterKeys({
    directory: files.pki,
    cluster: options.cluster,
    clock,
    servingNames: servingNames(options),
  });
  await writeFiles(files, keys, webhookRelayPath);
  const port = options.port === 0 ? await freePort(address) : options.port;
  const url = `https://${address}:${port}`;
  for (const socket of [files.etcdSocket, files.etcdPeerSocket]) rmSync(socket, { force: true });
  const flags = apiserverFlags({
    ...{ files, address, port, serviceCidr: options.serviceCidr },
    advertise: podEndpoint?.address,
    throughNode: webhookRelayPath !== undefined,
  });
  const relay =
    options.socketPath === undefined
      ? undefined
      : await SocketRelay.listen(options.socketPath, { address, port });
  const processes = new ServerProcesses(clock, options.output ?? 'inherit');
  const close = async (): Promise<void> => {
    relay?.close();
    await processes.stop();
  };
  const early = new AbortController();
  void processes.broken.then((how) =>
    early.abort(new MeshError('local-clusters', `${how} before it was ready`)),
  );
  try {
    processes.start('etcd', [binaries.etcd, ...etcdFlags(files)]);
    await untilListening(files.etcdSocket, clock, early.signal);
    processes.start('kube-apiserver', [binaries.apiserver, ...flags]);
    await prepare(url, keys, { ...options, signal: early.signal });
    await writeCredentials({ ...options, url, keys });
  } catch (thrown) {
    await close();
    throw thrown;
  }
  return { port, url, keys, broken: processes.broken, close };
}

/** kube-apiserver would try, too, but each try is a page of its log. */
async function untilListening(socket: string, clock: Clock, signal: AbortSignal): Promise<void> {
  const deadline = clock.now() + startPatienceMs;
  while (!existsSync(socket)) {
    if (clock.now() > deadline)
      throw new MeshError('local-clusters', `etcd does not listen on ${socket} after ${startPatienceMs} ms`);
    await sleep(clock, etcdPollMs, signal);
  }
}

async function writeFiles(
  files: KubernetesFiles,
  keys: ClusterKeys,
  nodeSocket: string | undefined,
): Promise<void> {
  const pairs: Record<string, KeyPair> = {
    serving: keys.serving,
    'kubelet-client': await keys.issueClient(kubeletClient.user, kubeletClient.groups),
  };
  for (const [name, { certificatePem, keyPem }] of Object.entries(pairs)) {
    writeFileSync(join(files.pki, `${name}.crt`), certificatePem, { mode: 0o600 });
    writeFileSync(join(files.pki, `${name}.key`), keyPem, { mode: 0o600 });
  }
  if (nodeSocket !== undefined) writeFileSync(files.egress, egressConfiguration(nodeSocket));
}

/** Waits until the server is ready, then grants our programs what they need. */
async function prepare(
  url: string,
  keys: ClusterKeys,
  { clock, log, signal }: KubernetesOptions & { signal: AbortSignal },
): Promise<void> {
  const admin = await keys.issueClient('kubernetes-admin', ['system:masters']);
  const client = new KubeClient({
    server: url,
    ca: keys.caPem,
    clientCert: admin.certificatePem,
    clientKey: admin.keyPem,
    namespace: 'default',
    clock,
  });
  try {
    await untilReady(client, clock, signal);
    const { gitVersion = '' } = JSON.parse((await client.raw('GET', '/version')).body) as {
      gitVersion?: string;
    };
    log.info('kube-apiserver is ready', { version: gitVersion });
    for (const { plural, object } of localRoles) {
      const { name } = object['metadata'] as { name: string };
      const path = `/apis/rbac.authorization.k8s.io/v1/${plural}/${name}?fieldManager=mesh-local&force=true`;
      const body = JSON.stringify(object);
      const { status, body: said } = await client.raw('PATCH', path, {
        body,
        contentType: 'application/apply-patch+yaml',
      });
      if (status > 299) throw new MeshError('local-clusters', `${plural} ${name} cannot be applied: ${said}`);
    }
  } finally {
    client.close();
  }
}

async function untilReady(client: KubeClient, clock: Clock, signal: AbortSignal): Promise<void> {
  const deadline = clock.now() + startPatienceMs;
  let last = '';
  while (clock.now() < deadline) {
    try {
      const { status, body } = await client.raw('GET', '/readyz', { timeoutMs: 5000, signal });
      if (status === 200) return;
      last = body;
    } catch (thrown) {
      last = String(thrown);
    }
    await sleep(clock, pollMs, signal);
  }
  throw new MeshError('local-clusters', `kube-apiserver is not ready after ${startPatienceMs} ms: ${last}`);
}

async function freePort(address: string): Promise<number> {
  const server = createServer();
  server.listen(0, address);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
