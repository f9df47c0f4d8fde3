/** Policy as our destination service gives it when nobody wrote one. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, ipFromText, tcpAddressToHostPort } from '@mesh/control-api/convert';
import { InboundServerPolicies, type ServerSchema } from '@mesh/control-api/gen/linkerd/inbound_pb';
import {
  OutboundPolicies,
  type OutboundPolicySchema,
  type TrafficSpec,
} from '@mesh/control-api/gen/linkerd/outbound_pb';
import { type GrpcRoutes, grpcService } from '@mesh/control-api/grpc-server';
import { GrpcError, grpcCode } from '@mesh/control-api/status';
import type { ControlPlaneTable, ServedService } from './control-plane-table.ts';
import type { FollowedTable } from './followed-table.ts';

type Outbound = MessageInitShape<typeof OutboundPolicySchema>;

const detectTimeout = durationFromMs(10_000);
const anyNetwork = ['0.0.0.0', '::'].map((text) => ({ net: { ip: ipFromText(text), prefixLen: 0 } }));
const byDefault = (value: string) => ({ kind: { case: 'default' as const, value } });

export function policyServices(followed: FollowedTable): readonly GrpcRoutes<undefined>[] {
  const outbound = (request: TrafficSpec): Outbound => {
    const address = request.target.case === 'addr' ? tcpAddressToHostPort(request.target.value) : undefined;
    const asked = address === undefined ? '' : `${address.host}:${address.port}`;
    const service = followed.table.services.find(({ clusterIp }) => clusterIp === asked);
    if (service === undefined) throw new GrpcError(grpcCode.notFound, 'no service has this address');
    return outboundPolicy(service);
  };
  return [
    grpcService<typeof OutboundPolicies, undefined>(OutboundPolicies, {
      get: outbound,
      watch: (request, sink) => void sink.send(outbound(request)),
    }),
    grpcService<typeof InboundServerPolicies, undefined>(InboundServerPolicies, {
      getPort: ({ port }) => inboundPolicy(followed.table, port),
      watchPort: ({ port }, sink) => {
        followed.follow(sink, () => {
          sink.send(inboundPolicy(followed.table, port));
        });
      },
    }),
  ];
}

function outboundPolicy({ name, opaque }: ServedService): Outbound {
  const metadata = {
    kind: {
      case: 'resource' as const,
      value: { group: 'core', kind: 'Service', name: name.split('.')[0] ?? '', namespace: 'shop', port: 80 },
    },
  };
  const backend = {
    metadata,
    queue: { capacity: 100, failfastTimeout: durationFromMs(3000) },
    kind: {
      case: 'balancer' as const,
      value: {
        discovery: { kind: { case: 'dst' as const, value: { path: `${name}:80` } } },
        load: {
          case: 'peakEwma' as const,
          value: { defaultRtt: durationFromMs(30), decay: durationFromMs(10_000) },
        },
      },
    },
  };
  const backends = { kind: { case: 'firstAvailable' as const, value: { backends: [{ backend }] } } };
  const all = { path: { kind: { case: 'prefix' as const, value: '/' } } };
  const http = { routes: [{ metadata: byDefault('http'), rules: [{ matches: [all], backends }] }] };
  const tcp = { routes: [{ metadata: byDefault('opaq'), rules: [{ backends }] }] };
  return {
    metadata,
    protocol: {
      kind: opaque
        ? { case: 'opaque', value: tcp }
        : { case: 'detect', value: { timeout: detectTimeout, opaque: tcp, http1: http, http2: http } },
    },
  };
}

function inboundPolicy(
  { cluster, inboundPolicy, policyRevision = 0, services }: ControlPlaneTable,
  port: number,
): MessageInitShape<typeof ServerSchema> {
  const name = policyRevision === 0 ? inboundPolicy : `${inboundPolicy}-${policyRevision}`;
  const opaque = services.some(
    (one) => one.opaque && one.endpoints.some((endpoint) => endpoint.port === port),
  );
  // Labels that an identity must end with; none for any.
  const parts = inboundPolicy === 'all-authenticated' ? [] : [cluster, 'mesh', 'local'];
  const clients = {
    case: 'identities' as const,
    value: { suffixes: [{ parts }] },
  };
  return {
    protocol: {
      kind: opaque ? { case: 'opaque', value: {} } : { case: 'detect', value: { timeout: detectTimeout } },
    },
    authorizations: [
      {
        networks: anyNetwork,
        labels: { group: '', kind: 'default', name },
        metadata: byDefault(name),
        authentication: { permit: { case: 'meshTls', value: { clients } } },
      },
    ],
    labels: { group: '', kind: 'default', name },
  };
}
