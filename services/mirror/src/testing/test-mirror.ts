/**
 * Clusters for tests: a real API server and the whole mirror controller each, joined by a relay that stands for the
 * gateway: it proves the gateway's identity, takes nobody but other clusters, and stamps who called.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import {
  connect as connectHttp2,
  constants,
  createServer as createHttp2Server,
  type ServerHttp2Session,
} from 'node:http2';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { startApiserver } from '@mesh/apiserver/server';
import { type Authority, createAnchor, createIssuer } from '@mesh/ca/authority';
import { issueCredentials } from '@mesh/ca/credentials';
import { systemClock as clock, systemRandom as random } from '@mesh/clock/system';
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type EventSchema,
  type ExportSchema,
  Federation,
} from '@mesh/control-api/gen/mesh/federation/v1/federation_pb';
import { grpcService } from '@mesh/control-api/grpc-server';
import { ControlServer, controlLimits } from '@mesh/dataplane/control-server';
import { readConfig } from '@mesh/config/environment';
import { createWorkload } from '@mesh/dataplane/workload';
import { defaultCodecs } from '@mesh/dataplane/peer';
import { connectHttp2 as connectOurs, type Http2ClientConnection } from '@mesh/http2/client';
import { KubeClient } from '@mesh/kube/client';
import { fromKubeconfig } from '@mesh/kube/config';
import { customResourceDefinitions, endpointSlices, namespaces, services } from '@mesh/kube/resources';
import type { EndpointSlice, Service, Stored } from '@mesh/kube/types';
import { type Link, linkDefinition, type LinkSpec, multiclusterNamespace } from '@mesh/multicluster/link';
import { silentLogger } from '@mesh/telemetry/log';
import { eventually } from '@mesh/testkit/eventually';
import { TlsAcceptor } from '@mesh/trust/accept';
import { CredentialStore } from '@mesh/trust/credentials';
import { dialTls } from '@mesh/trust/dial';
import { gatewayIdentity, mirrorIdentity, type PeerIdentity } from '@mesh/trust/names';
import { mirrorConfig } from '../config.ts';
import { type RunningMirror, startMirror } from '../program.ts';
import { links } from '@mesh/multicluster/link-resource';

/** One anchor with an issuer per cluster. */
export class TestTrust {
  readonly anchor: Authority = createAnchor({ clock });
  readonly #issuers: Map<string, Authority> = new Map();

  credentials(identity: string): CredentialStore {
    const cluster = identity.split('.').at(-3) ?? '';
    const issuer = this.#issuers.get(cluster) ?? createIssuer({ anchor: this.anchor, cluster, clock });
    this.#issuers.set(cluster, issuer);
    const anchorsPem = this.anchor.certificatePem;
    return new CredentialStore(issueCredentials({ issuer, anchorsPem, identity, clock }));
  }
}

export interface TestCluster {
  readonly name: string;
  readonly client: KubeClient;
  readonly relay: Relay;
  readonly mirror: RunningMirror;
  readonly log: string[];
  /** Starts the mirror controller; at the end of the test it is stopped. */
  startMirror(): Promise<void>;
  stopMirror(): Promise<void>;
  metrics(): Promise<string>;
}

export interface Relay {
  readonly port: number;
  /** What the peers' streams are relayed to; 0: nobody is there. */
  target: number;
  /** Cuts all connections; while `open` is false new ones are cut too. */
  open: boolean;
  /** Whether other clusters may come in. */
  allows: boolean;
  cut(): void;
  /** Asks peers to leave by GOAWAY; their streams go on. */
  drain(): void;
  /** Peers that came so far. */
  readonly visits: number;
}

export async function startCluster(
  test: TestContext,
  name: string,
  { trust, mirror = true }: { trust: TestTrust; mirror?: boolean },
): Promise<TestCluster> {
  const directory = mkdtempSync(join(tmpdir(), `mesh-mirror-${name}-`));
  const server = await startApiserver({
    cluster: name,
    directory,
    address: '127.0.0.1',
    port: 0,
    nodeName: 'node-1',
    serviceCidr: '10.96.0.0/16',
    clock,
    random,
    log: silentLogger,
    socketPath: join(directory, 'api.sock'),
  });
  const client = new KubeClient({ ...fromKubeconfig(join(directory, 'admin.kubeconfig')), clock });
  const relay = await startRelay(test, trust, name);
  const log: string[] = [];
  let running: RunningMirror | undefined;
  const cluster: TestCluster = {
    name,
    client,
    relay,
    log,
    get mirror() {
      if (running === undefined) throw new Error('the mirror controller is stopped');
      return running;
    },
    async startMirror() {
      const config = readConfig(mirrorConfig, {
        MESH_CLUSTER: name,
        MESH_TRUST_DOMAIN: `${name}.mesh.local`,
        MESH_TRUST_ANCHORS: trust.anchor.certificatePem,
        MESH_SERVICE_ACCOUNT: 'mesh-mirror',
        MESH_NAMESPACE: multiclusterNamespace,
        MESH_FEDERATION_PORT: '0',
        MESH_ADMIN_PORT: '0',
      });
      const write = (line: string): void => void log.push(line);
      const workload = createWorkload({ config, clock, random, program: 'mirror', version: 'test', write });
      const own = trust.credentials(mirrorIdentity(name)).current;
      if (own !== undefined) workload.credentials.update(own);
      running = await startMirror({ config, workload, client, clock, random });
      relay.target = running.federationPort;
    },
    async stopMirror() {
      relay.target = 0;
      const stopped = running;
      running = undefined;
      await stopped?.stop();
    },
    metrics: async () => await (await fetch(`http://127.0.0.1:${cluster.mirror.adminPort}/metrics`)).text(),
  };
  test.after(async () => {
    relay.open = false;
    relay.cut();
    await cluster.stopMirror();
    client.close();
    await server.close();
    rmSync(directory, { recursive: true });
  });
  for (const namespace of ['shop', multiclusterNamespace])
    await client.create(namespaces, { metadata: { name: namespace } });
  await client.create(customResourceDefinitions, structuredClone(linkDefinition) as never);
  await eventually('Links are served', async () => {
    await client.list(links, { namespace: multiclusterNamespace });
    return true;
  });
  if (mirror) await cluster.startMirror();
  return cluster;
}

/** Two clusters under one anchor, east and west, each with a Link to the other. */
export async function startPair(test: TestContext): Promise<{ east: TestCluster; west: TestCluster }> {
  const trust = new TestTrust();
  const [east, west] = await Promise.all([
    startCluster(test, 'east', { trust }),
    startCluster(test, 'west', { trust }),
  ]);
  await link(west, east);
  await link(east, west);
  return { east, west };
}

export async function link(
  from: TestCluster,
  to: TestCluster,
  spec: Partial<LinkSpec> = {},
): Promise<Stored<Link>> {
  return await makeLink(from, to.name, { gatewayPort: to.relay.port, ...spec });
}

export async function makeLink(
  { client }: TestCluster,
  name: string,
  spec: Partial<LinkSpec> = {},
): Promise<Stored<Link>> {
  return await client.create(links, {
    apiVersion: 'multicluster.mesh.io/v1alpha1',
    kind: 'Link',
    metadata: { name, namespace: multiclusterNamespace },
    spec: { cluster: name, gatewayAddresses: ['127.0.0.1'], ...spec },
  });
}

/** The status condition of a Link as `status reason: message`. */
export async function condition(from: TestCluster, name: string, type: string): Promise<string> {
  const { status } = await from.client.get(links, { namespace: multiclusterNamespace, name });
  const found = status?.conditions?.find((candidate) => candidate.type === type);
  return found === undefined ? 'none' : `${found.status} ${found.reason}: ${found.message}`;
}

interface ServiceOptions {
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ports?: Record<string, number>;
  /** Addresses of ready pods. */
  ready?: readonly string[];
}

/** A Service with the slice that its pods would have. */
export async function makeService(
  { client }: TestCluster,
  name: string,
  options: ServiceOptions = {},
): Promise<Stored<Service>> {
  const {
    namespace = 'shop',
    labels = {},
    annotations = {},
    ports = { http: 80 },
    ready = ['10.0.0.1'],
  } = options;
  const made = await client.create(services, {
    metadata: { name, namespace, labels, annotations },
    spec: {
      selector: { app: name },
      ports: Object.entries(ports).map(([portName, port]) => ({ name: portName, port })),
    },
  });
  await client.create(endpointSlices, {
    metadata: { name: `${name}-abc`, namespace, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    endpoints: ready.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports: Object.keys(ports).map((portName) => ({ name: portName, port: 8080, protocol: 'TCP' })),
  });
  return made;
}

export async function patchService(
  { client }: TestCluster,
  name: string,
  body: object,
  namespace = 'shop',
): Promise<void> {
  await client.patch(services, { namespace, name }, { patch: { type: 'merge', body } });
}

export async function findService(
  { client }: TestCluster,
  name: string,
  namespace = 'shop',
): Promise<Stored<Service> | undefined> {
  return await client.find(services, { namespace, name });
}

/** Slices of a Service by name. */
export async function slicesOf(
  { client }: TestCluster,
  service: string,
  namespace = 'shop',
): Promise<Stored<EndpointSlice>[]> {
  const labelSelector = `kubernetes.io/service-name=${service}`;
  const { items } = await client.listAll(endpointSlices, { namespace, labelSelector });
  return items.sort((one, other) => (one.metadata.name < other.metadata.name ? -1 : 1));
}

/** `Kind/name` of everything that mirroring owns. */
export async function owned({ client }: TestCluster): Promise<string[]> {
  const labelSelector = 'mirror.mesh.io/mirrored-service=true';
  const [some, others] = await Promise.all([
    client.listAll(services, { labelSelector }),
    client.listAll(endpointSlices, { labelSelector }),
  ]);
  return [
    ...some.items.map(({ metadata }) => `Service/${metadata.name}`),
    ...others.items.map(({ metadata }) => `EndpointSlice/${metadata.name}`),
  ].sort();
}

async function startRelay(test: TestContext, trust: TestTrust, cluster: string): Promise<Relay> {
  const own = trust.credentials(gatewayIdentity(cluster));
  const acceptor = new TlsAcceptor({
    credentials: own,
    clock,
    alpn: ['h2'],
    acceptsCluster: () => relay.allows,
  });
  const http = createHttp2Server();
  http.on('sessionError', () => {});
  const callers = new WeakMap<object, string>();
  http.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    const caller = callers.get(stream.session ?? {}) ?? '';
    void dialTls({
      host: '127.0.0.1',
      port: relay.target,
      identity: mirrorIdentity(cluster),
      alpn: ['h2'],
      credentials: own,
      clock,
      timeoutMs: 1000,
    }).then(
      (socket) => {
        open.add(socket);
        const session = connectHttp2('http://mirror', { createConnection: () => socket });
        session.on('error', () => stream.close());
        const upstream = session.request({ ...headers, 'l5d-client-id': caller });
        upstream.on('error', () => stream.close());
        upstream.on('response', (head, flags) => {
          if (stream.destroyed) return;
          const alone = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
          stream.respond(head, alone ? { endStream: true } : { waitForTrailers: true });
          if (alone) return;
          upstream.pipe(stream);
        });
        let trailers: Record<string, unknown> = {};
        upstream.on('trailers', (received) => {
          trailers = received;
        });
        stream.on('wantTrailers', () => stream.sendTrailers(trailers as Record<string, string>));
        stream.on('close', () => session.destroy());
        stream.pipe(upstream);
      },
      () => stream.close(),
    );
  });
  const open = new Set<Socket>();
  const server = createServer((raw) => {
    if (!relay.open) {
      raw.destroy();
      return;
    }
    open.add(raw);
    raw.on('close', () => open.delete(raw));
    acceptor.accept(raw, (result) => {
      if ('refused' in result) return;
      // The session begins within the event.
      accepting = result.peer.name;
      http.emit('connection', result.socket);
    });
  });
  let accepting = '';
  const sessions: ServerHttp2Session[] = [];
  http.on('session', (session) => {
    callers.set(session, accepting);
    sessions.push(session);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const relay: Relay = {
    port: (server.address() as AddressInfo).port,
    target: 0,
    open: true,
    allows: true,
    get visits() {
      return sessions.length;
    },
    drain() {
      for (const session of sessions) if (!session.destroyed) session.goaway();
    },
    cut() {
      for (const socket of open) socket.destroy();
      open.clear();
    },
  };
  test.after(() => {
    acceptor.close();
    relay.cut();
    server.close();
    http.close();
  });
  return relay;
}

export interface HostilePeer {
  readonly relay: Relay;
  exports: MessageInitShape<typeof ExportSchema>[];
  /** What it calls itself. */
  cluster: string;
  /** How many exports it says to have sent, if not as many as it did. */
  count: number | undefined;
  /** Sends one more export on every stream. */
  tell(value: MessageInitShape<typeof ExportSchema>): void;
  /** Ends the streams; each that follows brings the exports as its snapshot. */
  announce(): void;
}

/** As a mirror controller with these credentials connects to a peer. */
export async function dialPeer(
  { relay: { port } }: Pick<HostilePeer, 'relay'>,
  credentials: CredentialStore,
  host = '127.0.0.1',
): Promise<Http2ClientConnection> {
  const identity = gatewayIdentity('west');
  const socket = await dialTls({ host, port, identity, alpn: ['h2'], credentials, clock, timeoutMs: 5000 });
  return connectOurs(socket, { clock, limits: defaultCodecs().http2Limits });
}

/** Cluster west as an attacker would run it: a proper certificate, and a federation API that says anything. */
export async function startHostilePeer(test: TestContext, trust: TestTrust): Promise<HostilePeer> {
  const relay = await startRelay(test, trust, 'west');
  let epoch = 0n;
  const streams = new Set<(value: MessageInitShape<typeof ExportSchema>) => void>();
  const server = new ControlServer({
    port: 0,
    host: '127.0.0.1',
    cluster: 'west',
    trustSuffix: 'mesh.local',
    credentials: trust.credentials(mirrorIdentity('west')),
    clock,
    log: silentLogger,
    metrics: { call() {}, connections() {}, refused() {} },
    limits: controlLimits(),
    maxAgeMs: 60_000,
    services: [
      grpcService<typeof Federation, PeerIdentity>(Federation, {
        subscribe(_request, sink, call) {
          epoch++;
          let seq = 0n;
          const send = (event: NonNullable<MessageInitShape<typeof EventSchema>['event']>): void => {
            sink.send({ epoch, seq: ++seq, event });
          };
          send({
            case: 'hello',
            value: { protocol: 1, cluster: peer.cluster, trustDomain: 'west.mesh.local' },
          });
          for (const value of peer.exports) send({ case: 'export', value });
          send({ case: 'snapshotEnd', value: { count: peer.count ?? peer.exports.length } });
          const beat = clock.every(500, () => send({ case: 'beat', value: {} }));
          const tell = (value: MessageInitShape<typeof ExportSchema>): void =>
            send({ case: 'export', value });
          streams.add(tell);
          call.signal.addEventListener('abort', () => {
            beat.cancel();
            streams.delete(tell);
          });
        },
      }),
    ],
  });
  await server.start();
  relay.target = server.port;
  test.after(() => server.stop());
  const peer: HostilePeer = {
    relay,
    exports: [],
    cluster: 'west',
    count: undefined,
    tell(value) {
      for (const stream of streams) stream(value);
    },
    announce: () => relay.cut(),
  };
  return peer;
}
