/** Cluster west for tests: its gateway on a real port, discovery and exports as the test says, and pods. */
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttp2Server, type IncomingHttpHeaders } from 'node:http2';
import { createServer } from 'node:net';
import type { TestContext } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Authority, createAnchor, createIssuer } from '@mesh/ca/authority';
import { issueCredentials } from '@mesh/ca/credentials';
import { systemClock as clock, systemRandom as random } from '@mesh/clock/system';
import { readConfig } from '@mesh/config/environment';
import { tcpAddress } from '@mesh/control-api/convert';
import { Destination, type UpdateSchema } from '@mesh/control-api/gen/linkerd/destination_pb';
import { Federation } from '@mesh/control-api/gen/mesh/federation/v1/federation_pb';
import { Gateway, type GatewayTableSchema } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import { type GrpcRoutes, grpcService } from '@mesh/control-api/grpc-server';
import type { GrpcSink } from '@mesh/control-api/response-sink';
import { GrpcError, grpcCode } from '@mesh/control-api/status';
import { ControlServer, controlLimits } from '@mesh/dataplane/control-server';
import { createWorkload } from '@mesh/dataplane/workload';
import { getHeader } from '@mesh/http/headers';
import { silentLogger } from '@mesh/telemetry/log';
import { eventually } from '@mesh/testkit/eventually';
import { listening } from '@mesh/testkit/servers';
import {
  decodeTransportHeader,
  type TransportHeader,
  transportHeaderAlpn,
} from '@mesh/transport/transport-header';
import { TlsAcceptor } from '@mesh/trust/accept';
import { CredentialStore } from '@mesh/trust/credentials';
import {
  controlPlaneIdentity,
  gatewayIdentity,
  identityName,
  mirrorIdentity,
  type PeerIdentity,
} from '@mesh/trust/names';
import { gatewayConfig } from '../config.ts';
import { startGateway } from '../program.ts';

/** One anchor with an issuer per cluster. */
export class TestTrust {
  readonly anchor: Authority;
  readonly #issuers: Map<string, Authority> = new Map();

  constructor(anchor: Authority = createAnchor({ clock })) {
    this.anchor = anchor;
  }

  credentials(identity: string, lifetimeMs?: number): CredentialStore {
    const cluster = identity.split('.').at(-3) ?? '';
    return new CredentialStore(
      issueCredentials({
        issuer: this.issuer(cluster),
        anchorsPem: this.anchor.certificatePem,
        identity,
        clock,
        ...(lifetimeMs === undefined ? {} : { lifetimeMs }),
      }),
    );
  }

  issuer(cluster: string): Authority {
    const issuer = this.#issuers.get(cluster) ?? createIssuer({ anchor: this.anchor, cluster, clock });
    this.#issuers.set(cluster, issuer);
    return issuer;
  }
}

export function workload(serviceAccount: string, cluster: string): string {
  return identityName({ serviceAccount, namespace: 'shop', cluster });
}

type Table = Omit<MessageInitShape<typeof GatewayTableSchema>, '$typeName' | '$unknown'>;
type Update = MessageInitShape<typeof UpdateSchema>;

export interface TestEndpoint {
  readonly port: number;
  /** Of a pod with a sidecar. */
  readonly identity?: string;
  readonly opaque?: boolean;
  /** Where its sidecar takes transport headers. */
  readonly transportPort?: number;
  /** Of another cluster's gateway. */
  readonly authority?: string;
}

export interface TestWest {
  readonly trust: TestTrust;
  readonly port: number;
  readonly identity: string;
  /** Replaces parts of the gateway's table and waits until the gateway has it. */
  setTable(change: Table): void;
  /** Endpoints of `cart.shop.svc.cluster.local:80`, or of another authority. */
  endpoints(list: readonly TestEndpoint[], authority?: string): void;
  /** Authorities that the gateway asked about. */
  readonly asked: string[];
  /** Calls that reached the mirror controller: who was stamped, and by whom the connection was. */
  readonly federationCalls: { stamped: string | undefined; peer: string }[];
  metrics(): Promise<string>;
  /** Destination answers no question for the table any more. */
  refuseTable(): void;
  /** Destination dies. */
  loseControlPlane(): Promise<void>;
  /** The gateway dies, as by SIGKILL where it is a process, and another one is started with the same settings. */
  restart(): Promise<void>;
  /** Page of the gateway's readiness. */
  ready(): Promise<string>;
  stop(): Promise<void>;
}

/** A gateway that runs, in this process or as the real program. */
interface Started {
  readonly port: number;
  readonly adminPort: number;
  stop(): Promise<void>;
  /** Default: `stop`. */
  crash?(): Promise<void>;
}

export const cart = 'cart.shop.svc.cluster.local:80';

/** `start` runs the gateway with these settings. */
/** What a gateway of west is told whatever it serves; ports are any that are free. */
export function gatewaySettings(trust: TestTrust): Record<string, string> {
  return {
    MESH_CLUSTER: 'west',
    MESH_TRUST_DOMAIN: 'west.mesh.local',
    MESH_TRUST_ANCHORS: trust.anchor.certificatePem,
    MESH_SERVICE_ACCOUNT: 'mesh-gateway',
    MESH_NAMESPACE: 'mesh-multicluster',
    MESH_GATEWAY_PORT: '0',
    MESH_ADMIN_PORT: '0',
    MESH_SHUTDOWN_GRACE: '3s',
  };
}

export async function startWest(
  test: TestContext,
  trust: TestTrust = new TestTrust(),
  start: (settings: Readonly<Record<string, string>>, trust: TestTrust) => Promise<Started> = startHere,
): Promise<TestWest> {
  const federationCalls: TestWest['federationCalls'] = [];
  const mirror = await startControl(test, trust, mirrorIdentity('west'), [
    grpcService<typeof Federation, PeerIdentity>(Federation, {
      subscribe(_request, sink, call) {
        federationCalls.push({ stamped: getHeader(call.headers, 'l5d-client-id'), peer: call.peer.name });
        sink.send({ epoch: 1n, seq: 1n, event: { case: 'beat', value: {} } });
      },
    }),
  ]);
  let table: Table = {
    cluster: 'west',
    trustDomain: 'west.mesh.local',
    peers: [
      { cluster: 'east', allow: true },
      { cluster: 'north', allow: true },
      { cluster: 'south', allow: false },
    ],
    exports: [
      { namespace: 'shop', name: 'cart', ports: [{ name: 'http', port: 80 }], allowAllClusters: true },
      { namespace: 'shop', name: 'ledger', ports: [{ name: 'http', port: 80 }], allowedClusters: ['north'] },
    ],
    federation: {
      authority: 'federation.multicluster.mesh.io',
      address: `127.0.0.1:${mirror.port}`,
      identity: mirrorIdentity('west'),
    },
  };
  let refused = false;
  const watchers = new Set<GrpcSink<typeof GatewayTableSchema>>();
  const known = new Map<string, Update>();
  const followers = new Map<string, Set<GrpcSink<typeof UpdateSchema>>>();
  const asked: string[] = [];
  const destination = await startControl(test, trust, controlPlaneIdentity('mesh-destination', 'west'), [
    grpcService<typeof Gateway, PeerIdentity>(Gateway, {
      watch(_request, sink, call) {
        if (refused) throw new GrpcError(grpcCode.permissionDenied, 'only the gateway may ask');
        watchers.add(sink);
        call.signal.addEventListener('abort', () => watchers.delete(sink));
        sink.send(table);
      },
    }),
    grpcService<typeof Destination, PeerIdentity>(Destination, {
      get(request, sink) {
        asked.push(request.path);
        followers.set(request.path, (followers.get(request.path) ?? new Set()).add(sink));
        sink.send(known.get(request.path) ?? { update: { case: 'noEndpoints', value: { exists: true } } });
      },
      getProfile() {},
    }),
  ]);
  const settings = {
    ...gatewaySettings(trust),
    MESH_DESTINATION_ADDR: `127.0.0.1:${destination.port}`,
  };
  let running = await start(settings, trust);
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= running.stop());
  test.after(stop);
  const page = async (path: string): Promise<string> =>
    await (await fetch(`http://127.0.0.1:${running.adminPort}${path}`)).text();
  const ready = (): Promise<string> => page('/ready');
  await eventually('the gateway is ready', async () => (await ready()).startsWith('ready'));
  return {
    trust,
    get port() {
      return running.port;
    },
    identity: gatewayIdentity('west'),
    asked,
    federationCalls,
    stop,
    ready,
    refuseTable() {
      refused = true;
    },
    loseControlPlane: () => destination.stop(),
    async restart() {
      await (running.crash ?? running.stop)();
      running = await start(settings, trust);
    },
    setTable(change) {
      table = { ...table, ...change };
      for (const sink of watchers) sink.send(table);
    },
    endpoints(list, authority = cart) {
      const update: Update = {
        update: { case: 'add', value: { addrs: list.map(weightedAddress), metricLabels: {} } },
      };
      known.set(authority, update);
      for (const sink of followers.get(authority) ?? []) sink.send(update);
    },
    metrics: () => page('/metrics'),
  };
}

/** In this process, with a certificate as if the identity service had issued it. */
/** In this process. */
export async function startHere(
  settings: Readonly<Record<string, string>>,
  trust: TestTrust,
): Promise<Started> {
  const config = readConfig(gatewayConfig, settings);
  const own = createWorkload({ config, clock, random, program: 'gateway', version: 'test', write: () => {} });
  const current = trust.credentials(gatewayIdentity('west')).current;
  if (current !== undefined) own.credentials.update(current);
  return await startGateway({ config, workload: own, clock, random, workers: 1 });
}

async function startControl(
  test: TestContext,
  trust: TestTrust,
  identity: string,
  services: readonly GrpcRoutes<PeerIdentity>[],
): Promise<ControlServer> {
  const server = new ControlServer({
    port: 0,
    host: '127.0.0.1',
    services,
    cluster: 'west',
    trustSuffix: 'mesh.local',
    credentials: trust.credentials(identity),
    clock,
    log: silentLogger,
    metrics: { call() {}, connections() {}, refused() {} },
    limits: controlLimits(),
    maxAgeMs: 60_000,
  });
  await server.start();
  test.after(() => server.stop());
  return server;
}

function weightedAddress({ port, identity, opaque, transportPort, authority }: TestEndpoint) {
  const addr = tcpAddress('127.0.0.1', port);
  const protocol =
    opaque === true
      ? { case: 'opaque' as const, value: {} }
      : identity === undefined
        ? { case: undefined }
        : { case: 'h2' as const, value: {} };
  return {
    ...(addr === undefined ? {} : { addr }),
    weight: 10_000,
    metricLabels: {},
    ...(identity === undefined
      ? {}
      : { tlsIdentity: { strategy: { case: 'dnsLikeIdentity' as const, value: { name: identity } } } }),
    protocolHint: {
      protocol,
      ...(transportPort === undefined ? {} : { opaqueTransport: { inboundPort: transportPort } }),
    },
    ...(authority === undefined ? {} : { authorityOverride: { authorityOverride: authority } }),
  };
}

export interface Seen {
  readonly version: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

export interface TestPod {
  readonly port: number;
  readonly seen: Seen[];
  /** Connections that were opened to it. */
  connections(): number;
}

/** A pod without a sidecar that speaks HTTP/1. `/slow` answers when told to. */
export async function startPlainPod(test: TestContext): Promise<TestPod & { answerSlow(): void }> {
  const seen: Seen[] = [];
  let opened = 0;
  const waiting: (() => void)[] = [];
  const server = createHttpServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { httpVersion: version, method = '', url = '', headers } = request;
      seen.push({ version, method, path: url, headers, body: Buffer.concat(chunks).toString() });
      if (url === '/slow') waiting.push(() => response.end('late'));
      else response.end(`plain ${url}`);
    });
  });
  server.on('connection', () => opened++);
  const port = await listening(test, server);
  return {
    port,
    seen,
    connections: () => opened,
    answerSlow() {
      for (const answer of waiting.splice(0)) answer();
    },
  };
}

/** The inbound side of a pod's sidecar: mutual TLS, HTTP/2, and opaque bytes behind a transport header. */
export async function startMeshedPod(
  test: TestContext,
  trust: TestTrust,
  identity: string,
): Promise<TestPod & { readonly headers: TransportHeader[]; readonly peers: string[] }> {
  const seen: Seen[] = [];
  const headers: TransportHeader[] = [];
  const peers: string[] = [];
  let opened = 0;
  const http = createHttp2Server();
  http.on('sessionError', () => {});
  http.on('stream', (stream, head: IncomingHttpHeaders) => {
    const chunks: Buffer[] = [];
    stream.on('error', () => {});
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      seen.push({
        version: '2.0',
        method: String(head[':method']),
        path: String(head[':path']),
        headers: head,
        body: Buffer.concat(chunks).toString(),
      });
      stream.respond({ ':status': 200 });
      stream.end('meshed');
    });
  });
  const acceptor = new TlsAcceptor({
    credentials: trust.credentials(identity),
    clock,
    alpn: [transportHeaderAlpn, 'h2'],
  });
  const server = createServer((raw) => {
    opened++;
    acceptor.accept(raw, (result) => {
      if ('refused' in result) return;
      const { socket } = result;
      socket.on('error', () => {});
      peers.push(result.peer.name);
      if (result.alpn !== transportHeaderAlpn) {
        // Sidecars offer no protocol of their own to each other; node:http2 asks for one.
        Object.defineProperty(socket, 'alpnProtocol', { value: 'h2' });
        http.emit('connection', socket);
        return;
      }
      let bytes = Buffer.alloc(0);
      let decoded = false;
      socket.on('data', (chunk: Buffer) => {
        if (decoded) {
          socket.write(chunk);
          return;
        }
        bytes = Buffer.concat([bytes, chunk]);
        const header = decodeTransportHeader(bytes);
        if (header.kind !== 'header') return;
        decoded = true;
        headers.push(header.header);
        socket.write(bytes.subarray(header.length));
      });
      socket.on('end', () => socket.end());
    });
  });
  test.after(() => {
    acceptor.close();
    http.close();
  });
  return { port: await listening(test, server), seen, headers, peers, connections: () => opened };
}
