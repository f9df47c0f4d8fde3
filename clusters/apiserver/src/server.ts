/** The embedded API server of one cluster: assembles the parts, listens, and writes the kubeconfigs. */
import { constants } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import { createServer as createNetServer, type Server as NetServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Clock, Random } from '@mesh/clock/clock';
import { LimitLedger } from '@mesh/limits/limits';
import { describeError } from '@mesh/errors/mesh-error';
import type { Logger } from '@mesh/telemetry/log';
import { Admission } from './admission.ts';
import { servingNames, writeCredentials } from './credentials.ts';
import { bootstrapObjects } from './bootstrap.ts';
import { followDefinitions } from './definitions.ts';
import { expireEvents } from './event-expiry.ts';
import { Journal } from './journal.ts';
import { clone } from './json.ts';
import { KubeletLogs } from './kubelet-logs.ts';
import { apiserverLimits, type ApiserverLimit } from './limits.ts';
import { asObject } from './object.ts';
import { loadClusterKeys, type ClusterKeys } from './pki.ts';
import { RbacAuthorizer } from './rbac.ts';
import { ReadApi } from './read-api.ts';
import { ResourceApi } from './resource-api.ts';
import { ResourceRegistry, storageName } from './resources.ts';
import { Reviews } from './reviews.ts';
import { Router } from './router.ts';
import { parseRange, ServiceAddresses } from './service-addresses.ts';
import { ApiError } from './status.ts';
import { Store } from './store.ts';
import { ServiceAccountTokens } from './tokens.ts';
import { Webhooks } from './webhooks.ts';
import { WriteApi } from './write-api.ts';
import { Writer } from './writer.ts';

export interface ApiserverOptions {
  cluster: string;
  directory: string;
  address: string;
  /** 0 takes a free port. */
  port: number;
  /** Unix socket path beside the TCP port. */
  socketPath?: string;
  /** How pods reach this server. */
  podEndpoint?: { address: string; port: number };
  webhookRelayPath?: string;
  nodeName: string;
  serviceCidr: string;
  clock: Clock;
  random: Random;
  log: Logger;
  limits?: Partial<Record<ApiserverLimit, number>>;
}

export interface Apiserver {
  readonly port: number;
  readonly url: string;
  readonly keys: ClusterKeys;
  readonly store: Store;
  readonly limits: LimitLedger<ApiserverLimit>;
  /** Ends all connections and closes the journal. */
  close(): Promise<void>;
}

/** @throws MeshError config-invalid, journal-corrupt; Error when the port is taken */
export async function startApiserver(options: ApiserverOptions): Promise<Apiserver> {
  const { cluster, directory, clock, random, log } = options;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const limits = new LimitLedger(apiserverLimits, options.limits);
  const keys = await loadClusterKeys({
    directory: join(directory, 'pki'),
    cluster,
    clock,
    servingNames: servingNames(options),
  });
  const store = new Store({
    limits,
    journal: new Journal(join(directory, 'journal')),
    onFault: (error) => log.error('a snapshot cannot be written', { error: describeError(error) }),
  });
  const registry = new ResourceRegistry();
  const unfollow = followDefinitions(store, registry, clock);
  const expiry = expireEvents(store, clock);
  const tokens = new ServiceAccountTokens({
    key: keys.tokenKey,
    publicKey: keys.tokenPublicKey,
    store,
    clock,
  });
  const authorizer = new RbacAuthorizer(store);
  const webhooks = new Webhooks({ store, clock, limits, relayPath: options.webhookRelayPath });
  const writer = new Writer({
    store,
    clock,
    random,
    limits,
    admission: new Admission({ store, random, webhooks, authorizer }),
    addresses: new ServiceAddresses({ store, random, range: parseRange(options.serviceCidr) }),
  });
  await bootstrap({ writer, registry, log, options });

  const reads = new ReadApi({ store, clock, random, limits });
  let url = '';
  const router = new Router({
    registry,
    tokens,
    authorizer,
    log,
    address: () => url.replace('https://', ''),
    resources: new ResourceApi({
      reads,
      writes: new WriteApi({ writer, reads, clock, limits }),
      writer,
      reviews: new Reviews({ store, tokens, authorizer }),
      logs: new KubeletLogs({ store, keys, relayPath: options.webhookRelayPath }),
      limits,
    }),
  });
  const server = createHttpsServer(
    {
      cert: keys.serving.certificatePem,
      key: keys.serving.keyPem,
      ca: keys.caPem,
      requestCert: true,
      // A foreign certificate is answered with 401, which says more than a broken handshake.
      rejectUnauthorized: false,
      minVersion: 'TLSv1.2',
      // A resumed session would not present its client certificate again.
      secureOptions: constants.SSL_OP_NO_TICKET,
    },
    (request, response) => void router.serve(request, response),
  );
  // A watch may be silent for as long as it likes.
  server.requestTimeout = 0;
  server.timeout = 0;
  // Longer than clients keep idle connections, so that none is closed just as it is used again.
  server.keepAliveTimeout = 120_000;
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => open.delete(socket));
  });
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.listen(options.port, options.address);
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;
  url = `https://${options.address}:${port}`;
  const relay = options.socketPath === undefined ? undefined : await listenUnix(server, options.socketPath);
  await writeCredentials({ ...options, url, keys });
  return {
    port,
    url,
    keys,
    store,
    limits,
    async close() {
      unfollow();
      expiry.cancel();
      const closed = [server, relay].filter((one) => one !== undefined).map((one) => once(one, 'close'));
      server.close();
      relay?.close();
      for (const socket of open) socket.destroy();
      await Promise.all(closed);
      store.close();
    },
  };
}

/** The same TLS server behind a unix socket. */
async function listenUnix(server: HttpsServer, path: string): Promise<NetServer> {
  rmSync(path, { force: true });
  const relay = createNetServer((socket) => server.emit('connection', socket));
  relay.listen(path);
  await once(relay, 'listening');
  return relay;
}

/** Creates what a cluster starts with, leaving alone what is already there. */
async function bootstrap(setup: {
  writer: Writer;
  registry: ResourceRegistry;
  log: Logger;
  options: ApiserverOptions;
}): Promise<void> {
  const { writer, registry, log, options } = setup;
  const context = {
    user: { name: 'system:apiserver', uid: '', groups: ['system:masters'], extra: {} },
    dryRun: false,
    fieldManager: 'kube-apiserver',
    warn: (message: string) => log.warn('bootstrap', { message }),
  };
  for (const { resource, object } of [...bootstrapObjects(), ...kubernetesEndpoints(options)]) {
    const info = registry.builtin(resource.slice(resource.indexOf('/') + 1));
    const input = asObject(clone(object));
    if (input === undefined) throw new Error(`bootstrap object of ${storageName(info)} is incomplete`);
    const target = { info, namespace: input.metadata.namespace ?? '', name: '', subresource: '' };
    try {
      await writer.create(target, input, context);
    } catch (thrown) {
      if (!(thrown instanceof ApiError) || thrown.reason !== 'AlreadyExists') throw thrown;
    }
  }
}

function kubernetesEndpoints({ podEndpoint }: ApiserverOptions): ReturnType<typeof bootstrapObjects> {
  if (podEndpoint === undefined) return [];
  return [
    {
      resource: 'discovery.k8s.io/endpointslices',
      object: {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: {
          name: 'kubernetes',
          namespace: 'default',
          labels: { 'kubernetes.io/service-name': 'kubernetes' },
        },
        addressType: 'IPv4',
        endpoints: [{ addresses: [podEndpoint.address], conditions: { ready: true } }],
        ports: [{ name: 'https', port: podEndpoint.port, protocol: 'TCP' }],
      },
    },
  ];
}
