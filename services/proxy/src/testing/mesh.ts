/** A small mesh for tests: identity and destination services over real TLS, sidecars, and applications. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  createServer as createHttp2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Authority, createAnchor, createIssuer } from '@mesh/ca/authority';
import { issueCredentials } from '@mesh/ca/credentials';
import { systemClock, systemRandom } from '@mesh/clock/system';
import { readConfig } from '@mesh/config/environment';
import { type HostPort, tcpAddress } from '@mesh/control-api/convert';
import {
  Destination,
  type DestinationProfileSchema,
  type UpdateSchema,
  type WeightedAddrSchema,
} from '@mesh/control-api/gen/linkerd/destination_pb';
import { InboundServerPolicies, type ServerSchema } from '@mesh/control-api/gen/linkerd/inbound_pb';
import { grpcService, serveGrpc } from '@mesh/control-api/grpc-server';
import type { GrpcSink } from '@mesh/control-api/response-sink';
import { grpcLimits } from '@mesh/control-api/limits';
import { GrpcError, grpcCode } from '@mesh/control-api/status';
import { goodToken, startIdentity, type TestIdentity } from '@mesh/dataplane/testing/identity-server';
import { serveHttp2 } from '@mesh/http2/server';
import { http2Limits } from '@mesh/http2/limits';
import { LimitLedger } from '@mesh/limits/limits';
import { createLogger, type Logger } from '@mesh/telemetry/log';
import { eventually } from '@mesh/testkit/eventually';
import { listening } from '@mesh/testkit/servers';
import { TlsAcceptor } from '@mesh/trust/accept';
import { CredentialStore } from '@mesh/trust/credentials';
import { controlPlaneIdentity, identityName } from '@mesh/trust/names';
import { proxyConfig } from '../config.ts';
import { Proxy, type ProxyPorts } from '../proxy.ts';

const clock = systemClock;

export interface TestAnchor {
  readonly anchor: Authority;
  readonly issuers: Map<string, Authority>;
}

export function newAnchor(): TestAnchor {
  return { anchor: createAnchor({ clock }), issuers: new Map() };
}

export function issuerOf({ anchor, issuers }: TestAnchor, cluster: string): Authority {
  const known = issuers.get(cluster) ?? createIssuer({ anchor, cluster, clock });
  issuers.set(cluster, known);
  return known;
}

export function workload(serviceAccount: string, cluster: string): string {
  return identityName({ serviceAccount, namespace: 'shop', cluster });
}

/** Credentials of any identity, straight from its issuer. */
export function credentialsOf(
  trust: TestAnchor,
  identity: string,
  cluster: string,
  lifetimeMs?: number,
): CredentialStore {
  return new CredentialStore(
    issueCredentials({
      issuer: issuerOf(trust, cluster),
      anchorsPem: trust.anchor.certificatePem,
      identity,
      clock,
      ...(lifetimeMs === undefined ? {} : { lifetimeMs }),
    }),
  );
}

type WeightedAddrInit = MessageInitShape<typeof WeightedAddrSchema>;

export interface EndpointInit {
  readonly port: number;
  /** Undefined: plaintext. */
  readonly identity?: string;
  readonly tier?: number;
  readonly opaque?: boolean;
  readonly transportPort?: number;
  readonly authority?: string;
}

function weightedAddr(endpoint: EndpointInit): WeightedAddrInit {
  const { identity, opaque, transportPort, authority } = endpoint;
  const address = tcpAddress('127.0.0.1', endpoint.port);
  return {
    ...(address === undefined ? {} : { addr: address }),
    weight: 10_000,
    tier: endpoint.tier ?? 0,
    metricLabels: { pod: `pod-${endpoint.port}` },
    ...(identity === undefined
      ? {}
      : { tlsIdentity: { strategy: { case: 'dnsLikeIdentity', value: { name: identity } } } }),
    protocolHint: {
      protocol:
        opaque === true
          ? { case: 'opaque', value: {} }
          : identity === undefined
            ? { case: undefined }
            : { case: 'h2', value: {} },
      ...(transportPort === undefined ? {} : { opaqueTransport: { inboundPort: transportPort } }),
    },
    ...(authority === undefined ? {} : { authorityOverride: { authorityOverride: authority } }),
  };
}

/** Answers what the test says. */
class TestDestination {
  readonly profiles: Map<string, MessageInitShape<typeof DestinationProfileSchema>> = new Map();
  readonly #endpoints: Map<string, readonly EndpointInit[]> = new Map();
  readonly #sinks: Map<string, Set<GrpcSink<typeof UpdateSchema>>> = new Map();
  /** What is said of every port of a pod; of other pods nothing is known. */
  readonly #policies: Map<string, MessageInitShape<typeof ServerSchema>> = new Map();
  /** Ports whose policy was asked for, as often as it was. */
  readonly watchedPorts: number[] = [];
  readonly #policySinks: Set<{ workload: string; sink: GrpcSink<typeof ServerSchema> }> = new Set();
  readonly #servers: { server: Server; sockets: Set<Socket> }[] = [];
  address: HostPort = { host: '127.0.0.1', port: 0 };

  async start(test: TestContext, trust: TestAnchor, cluster: string): Promise<void> {
    const acceptor = new TlsAcceptor({
      credentials: credentialsOf(trust, controlPlaneIdentity('mesh-destination', cluster), cluster),
      clock,
      alpn: [],
    });
    const service = grpcService<typeof Destination, undefined>(Destination, {
      get: (request, sink, call) => {
        const sinks = this.#sinks.get(request.path) ?? new Set();
        this.#sinks.set(request.path, sinks.add(sink));
        call.signal.addEventListener('abort', () => sinks.delete(sink));
        const known = this.#endpoints.get(request.path);
        if (known !== undefined) this.#send(sink, known);
        else sink.send({ update: { case: 'noEndpoints', value: { exists: false } } });
      },
      getProfile: (request, sink) => {
        sink.send(this.profiles.get(request.path) ?? {});
      },
    });
    const policies = grpcService<typeof InboundServerPolicies, undefined>(InboundServerPolicies, {
      getPort: () => {
        throw new GrpcError(grpcCode.unimplemented, 'proxies watch');
      },
      watchPort: ({ workload, port }, sink, call) => {
        this.watchedPorts.push(port);
        const asked = { workload, sink };
        this.#policySinks.add(asked);
        call.signal.addEventListener('abort', () => this.#policySinks.delete(asked));
        const policy = this.#policies.get(workload);
        if (policy === undefined) sink.end({ code: grpcCode.notFound, message: `no pod ${workload}` });
        else sink.send(policy);
      },
    });
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      acceptor.accept(socket, (result) => {
        if ('refused' in result) return;
        const limits = new LimitLedger(grpcLimits);
        serveHttp2(result.socket, serveGrpc([service, policies], { peer: undefined, clock, limits }), {
          clock,
          limits: new LimitLedger(http2Limits),
        });
      });
    });
    test.after(() => acceptor.close());
    this.#servers.push({ server, sockets });
    this.address = { host: '127.0.0.1', port: await listening(test, server) };
  }

  /** The control plane dies. */
  kill(): void {
    for (const { server, sockets } of this.#servers) {
      server.close();
      for (const socket of sockets) socket.destroy();
    }
  }

  /** A service behind `ip:port` of a ClusterIP. */
  service(clusterIp: string, name: string, endpoints: readonly EndpointInit[]): void {
    const port = clusterIp.slice(clusterIp.indexOf(':') + 1);
    this.profiles.set(clusterIp, {
      fullyQualifiedName: name,
      opaqueProtocol: endpoints.some(({ opaque }) => opaque === true),
    });
    this.endpoints(`${name}:${port}`, endpoints);
  }

  /** Sets the endpoints; open streams hear of what was added. */
  endpoints(authority: string, endpoints: readonly EndpointInit[]): void {
    this.#endpoints.set(authority, endpoints);
    for (const sink of this.#sinks.get(authority) ?? []) this.#send(sink, endpoints);
  }

  /** Says `policy` of every port of a pod of namespace shop; open streams hear of it. */
  policy(pod: string, policy: MessageInitShape<typeof ServerSchema>): void {
    const workload = JSON.stringify({ ns: 'shop', pod });
    this.#policies.set(workload, policy);
    for (const asked of this.#policySinks) if (asked.workload === workload) asked.sink.send(policy);
  }

  remove(authority: string, ports: readonly number[]): void {
    const addrs = ports.map((port) => tcpAddress('127.0.0.1', port)).filter((addr) => addr !== undefined);
    for (const sink of this.#sinks.get(authority) ?? []) {
      sink.send({ update: { case: 'remove', value: { addrs } } });
    }
  }

  #send(sink: GrpcSink<typeof UpdateSchema>, endpoints: readonly EndpointInit[]): void {
    sink.send({
      update:
        endpoints.length === 0
          ? { case: 'noEndpoints', value: { exists: true } }
          : {
              case: 'add',
              value: {
                addrs: endpoints.map(weightedAddr),
                metricLabels: { service: 'cart', namespace: 'shop' },
              },
            },
    });
  }
}

export interface TestCluster {
  readonly name: string;
  readonly trust: TestAnchor;
  readonly identity: TestIdentity;
  readonly destination: TestDestination;
}

export async function startCluster(
  test: TestContext,
  name = 'east',
  trust: TestAnchor = newAnchor(),
): Promise<TestCluster> {
  const destination = new TestDestination();
  await destination.start(test, trust, name);
  return {
    name,
    trust,
    destination,
    identity: await startIdentity(test, {
      cluster: name,
      issuer: issuerOf(trust, name),
      anchorsPem: trust.anchor.certificatePem,
    }),
  };
}

export interface TestProxy {
  readonly proxy: Proxy;
  readonly ports: ProxyPorts;
  readonly identity: string;
  readonly log: string[];
  /** PEM of its trust anchors. */
  readonly anchors: string;
  /** Where outbound connections were going; set it before dialling. */
  dials: HostPort;
  metrics(): Promise<string>;
}

export interface TestProxyOptions {
  readonly serviceAccount?: string;
  /** Where inbound connections were going: the application. */
  readonly app?: number;
  /** Nothing is redirected inbound: clients dial the sidecar, and say by a header where they are going. */
  readonly dialled?: boolean;
  /** It is not waited for. */
  readonly unready?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
}

/** What a sidecar of the cluster is told by its environment; ports are any that are free. */
export function sidecarSettings(
  { identity, destination, trust, name }: TestCluster,
  { serviceAccount, tokenFile }: { serviceAccount: string; tokenFile: string },
): Record<string, string> {
  return {
    MESH_CLUSTER: name,
    MESH_TRUST_DOMAIN: `${name}.mesh.local`,
    MESH_TRUST_ANCHORS: trust.anchor.certificatePem,
    MESH_IDENTITY_ADDR: `${identity.host}:${identity.port}`,
    MESH_TRUST_BUNDLE_ADDR: `${identity.host}:${identity.port}`,
    MESH_DESTINATION_ADDR: `${destination.address.host}:${destination.address.port}`,
    MESH_POLICY_ADDR: `${destination.address.host}:${destination.address.port}`,
    MESH_TOKEN_FILE: tokenFile,
    MESH_SERVICE_ACCOUNT: serviceAccount,
    MESH_NAMESPACE: 'shop',
    MESH_OUTBOUND_PORT: '0',
    MESH_INBOUND_PORT: '0',
    MESH_ADMIN_PORT: '0',
    MESH_SHUTDOWN_GRACE: '0s',
    MESH_PROFILE_TIMEOUT: '1s',
    MESH_OPAQUE_PORTS: '',
  };
}

/** A sidecar, ready unless it shall not be. */
export async function startProxy(
  test: TestContext,
  cluster: TestCluster,
  options: TestProxyOptions = {},
): Promise<TestProxy> {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-proxy-'));
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, goodToken);
  const serviceAccount = options.serviceAccount ?? 'frontend';
  const lines: string[] = [];
  const log: Logger = createLogger({ clock, level: 'debug', write: (line) => lines.push(line) });
  const { trust, name } = cluster;
  const config = readConfig(proxyConfig, {
    ...sidecarSettings(cluster, { serviceAccount, tokenFile }),
    ...options.environment,
  });
  let ports: ProxyPorts = { outbound: 0, inbound: 0, admin: 0 };
  const running: TestProxy = {
    proxy: new Proxy({
      config,
      clock,
      random: systemRandom,
      log,
      originalDestination: (socket) => {
        if (socket.localPort === ports.outbound) return running.dials;
        return options.dialled === true ? undefined : { host: '127.0.0.1', port: options.app ?? 1 };
      },
      onShutdown: () => void running.proxy.stop(),
    }),
    get ports() {
      return ports;
    },
    identity: workload(serviceAccount, name),
    log: lines,
    anchors: trust.anchor.certificatePem,
    dials: { host: '10.0.0.1', port: 80 },
    metrics: async () => (await fetch(`http://127.0.0.1:${ports.admin}/metrics`)).text(),
  };
  ports = await running.proxy.start();
  test.after(async () => {
    await running.proxy.stop();
    rmSync(directory, { recursive: true });
  });
  if (options.unready !== true)
    await eventually('the sidecar is ready', () => running.proxy.ready().ready || undefined);
  return running;
}

/** A caller's and a server's sidecar before the application on `port`. */
export async function startSidecars(
  test: TestContext,
  port: number,
  environment: Record<string, string> = {},
): Promise<{ caller: TestProxy; server: TestProxy }> {
  const east = await startCluster(test);
  const server = await startProxy(test, east, { serviceAccount: 'cart', app: port, environment });
  const caller = await startProxy(test, east);
  east.destination.service('10.0.0.1:80', 'cart.shop.svc.cluster.local', [
    { port: server.ports.inbound, identity: server.identity },
  ]);
  return { caller, server };
}

export interface AppRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

/** An application that echoes what it got as JSON, on HTTP/1 and, on another port, HTTP/2. */
export interface TestApp {
  readonly http1: number;
  readonly http2: number;
  readonly requests: AppRequest[];
  kill(): void;
}

export async function startApp(test: TestContext, name = 'app'): Promise<TestApp> {
  const requests: AppRequest[] = [];
  const reply = (seen: AppRequest): string => {
    requests.push(seen);
    return JSON.stringify({ app: name, ...seen });
  };
  const one = createHttpServer((request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      response.setHeader('x-app', name);
      response.end(reply({ method, path: url, headers, body: Buffer.concat(chunks).toString() }));
    });
  });
  const two = createHttp2Server();
  two.on('sessionError', () => {});
  two.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    const chunks: Buffer[] = [];
    stream.on('error', () => {});
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const text = reply({
        method: String(headers[':method']),
        path: String(headers[':path']),
        headers,
        body: Buffer.concat(chunks).toString(),
      });
      stream.respond(
        { ':status': 200, 'x-app': name, 'content-type': 'application/grpc' },
        { waitForTrailers: true },
      );
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(text);
    });
  });
  const http1 = await listening(test, one);
  const http2 = await listening(test, two);
  return {
    http1,
    http2,
    requests,
    kill() {
      one.closeAllConnections();
      one.close();
      two.close();
    },
  };
}

/** An echo server for opaque bytes that waits for the client's end before it ends. */
export async function startEcho(test: TestContext): Promise<{ port: number; received: () => number }> {
  let received = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      socket.write(chunk);
    });
    socket.on('end', () => socket.end());
  });
  return { port: await listening(test, server), received: () => received };
}

/** Sends bytes, ends, and resolves with everything that came back. */
export function exchangeBytes(port: number, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => {
      socket.destroy();
      resolve(Buffer.concat(chunks).toString());
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(Buffer.concat(chunks).toString()));
    socket.end(bytes);
  });
}
