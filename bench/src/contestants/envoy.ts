/** Envoy, when ENVOY names its program; one worker thread. Configured as JSON, which Envoy reads as it does YAML. */
import { existsSync } from 'node:fs';
import { type Contestant, type Hop, noGateway, proxyPorts, type Stage } from './contestant.ts';
import { programVersion } from './program-version.ts';
import { startHop, writeConfiguration } from './start-hop.ts';

const extension = 'type.googleapis.com/envoy.extensions';
const streamWindow = 1024 * 1024;
const connectionWindow = 16 * 1024 * 1024;
const http2 = { initial_stream_window_size: streamWindow, initial_connection_window_size: connectionWindow };

const address = (host: string, port: number): object => ({
  address: { socket_address: { address: host, port_value: port } },
});

const file = (filename: string): object => ({ filename });

/** Both sides: own certificate, and the peer's checked against the anchors. */
function commonTls(
  files: { readonly chain: string; readonly key: string; readonly anchors: string },
  { alpn, peer }: { alpn: readonly string[]; peer?: string },
): object {
  return {
    tls_params: { tls_minimum_protocol_version: 'TLSv1_3' },
    tls_certificates: [{ certificate_chain: file(files.chain), private_key: file(files.key) }],
    validation_context: {
      trusted_ca: file(files.anchors),
      ...(peer === undefined
        ? {}
        : { match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: peer } }] }),
    },
    alpn_protocols: alpn,
  };
}

interface Side {
  readonly name: 'outbound' | 'inbound';
  readonly listen: object;
  readonly endpoints: readonly object[];
  /** HTTP/2 to the endpoints. */
  readonly http2: boolean;
  readonly acceptTls?: object;
  readonly dialTls?: object;
}

function bootstrap({ scene }: Stage, side: Side): object {
  return {
    admin: address('0.0.0.0', proxyPorts.admin),
    static_resources: {
      listeners: [
        {
          name: side.name,
          ...side.listen,
          filter_chains: [
            {
              filters: [scene.traffic === 'tcp' ? tcpProxy(side) : connectionManager(side)],
              ...(side.acceptTls === undefined ? {} : { transport_socket: side.acceptTls }),
            },
          ],
        },
      ],
      clusters: [cluster(side)],
    },
  };
}

function tcpProxy({ name }: Side): object {
  return {
    name: 'envoy.filters.network.tcp_proxy',
    typed_config: {
      '@type': `${extension}.filters.network.tcp_proxy.v3.TcpProxy`,
      stat_prefix: name,
      cluster: 'cart',
    },
  };
}

function connectionManager({ name, acceptTls }: Side): object {
  // The policy check: only clients whose certificate was verified.
  const policy = {
    name: 'envoy.filters.http.rbac',
    typed_config: {
      '@type': `${extension}.filters.http.rbac.v3.RBAC`,
      rules: {
        action: 'ALLOW',
        policies: { mesh: { permissions: [{ any: true }], principals: [{ authenticated: {} }] } },
      },
    },
  };
  const router = {
    name: 'envoy.filters.http.router',
    typed_config: { '@type': `${extension}.filters.http.router.v3.Router` },
  };
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type': `${extension}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: name,
      generate_request_id: false,
      http2_protocol_options: http2,
      route_config: {
        virtual_hosts: [
          {
            name: 'all',
            domains: ['*'],
            routes: [{ match: { prefix: '/' }, route: { cluster: 'cart', timeout: '0s' } }],
          },
        ],
      },
      http_filters: acceptTls === undefined ? [router] : [policy, router],
    },
  };
}

function cluster({ endpoints, http2: toHttp2, dialTls }: Side): object {
  const protocol = toHttp2 ? { http2_protocol_options: http2 } : { http_protocol_options: {} };
  const many = { max_connections: 10_000, max_pending_requests: 10_000, max_requests: 10_000 };
  return {
    name: 'cart',
    type: 'STATIC',
    connect_timeout: '5s',
    // Two at random, then the one with fewer requests.
    lb_policy: 'LEAST_REQUEST',
    circuit_breakers: { thresholds: [many] },
    load_assignment: {
      cluster_name: 'cart',
      endpoints: [{ lb_endpoints: endpoints.map((endpoint) => ({ endpoint })) }],
    },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': `${extension}.upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: protocol,
      },
    },
    ...(dialTls === undefined ? {} : { transport_socket: dialTls }),
  };
}

function outbound({ scene, endpoints, trust }: Stage): Side {
  const alpn = scene.traffic === 'tcp' ? [] : ['h2'];
  return {
    name: 'outbound',
    listen: address('127.0.0.1', proxyPorts.outbound),
    endpoints: endpoints.map(({ host, port }) => address(host, port)),
    http2: scene.mtls || scene.traffic === 'grpc',
    ...(scene.mtls
      ? {
          dialTls: {
            name: 'envoy.transport_sockets.tls',
            typed_config: {
              '@type': `${extension}.transport_sockets.tls.v3.UpstreamTlsContext`,
              common_tls_context: commonTls(trust.client, { alpn, peer: trust.server.identity }),
              sni: trust.server.identity,
              max_session_keys: 0,
            },
          },
        }
      : {}),
  };
}

function inbound({ scene, appPort, trust }: Stage): Side {
  return {
    name: 'inbound',
    listen: address('0.0.0.0', proxyPorts.inbound),
    endpoints: [address('127.0.0.1', appPort)],
    http2: scene.traffic === 'grpc',
    acceptTls: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': `${extension}.transport_sockets.tls.v3.DownstreamTlsContext`,
        common_tls_context: commonTls(trust.server, { alpn: scene.traffic === 'tcp' ? [] : ['h2'] }),
        require_client_certificate: true,
        disable_stateless_session_resumption: true,
        disable_stateful_session_resumption: true,
      },
    },
  };
}

function start(program: string, stage: Stage, side: Side): Hop {
  const configuration = writeConfiguration(
    stage,
    `${side.name}.json`,
    JSON.stringify(bootstrap(stage, side), null, 2),
  );
  const flags = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'warn'];
  return startHop(stage, side.name, [program, ...flags, '--config-path', configuration]);
}

/** @param program path; undefined when nobody named one */
export function envoy(program: string | undefined): Contestant {
  return {
    name: 'envoy',
    title: 'Envoy',
    intercepted: true,
    declines: ({ gateway }) => (gateway ? noGateway : undefined),
    probe: () => {
      if (program === undefined) return { absent: 'ENVOY names no program' };
      if (!existsSync(program)) return { absent: `ENVOY=${program} does not exist` };
      return programVersion([program, '--version'], /version: \w+\/([\d.]+)/);
    },
    start: (stage) =>
      program === undefined
        ? []
        : [outbound(stage), ...(stage.scene.mtls ? [inbound(stage)] : [])].map((side) =>
            start(program, stage, side),
          ),
  };
}
