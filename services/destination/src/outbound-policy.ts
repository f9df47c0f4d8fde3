/** Policy of traffic to a Service. Until route objects exist it is one default route to the Service's endpoints. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@mesh/control-api/convert';
import type {
  FailureAccrualSchema,
  HttpRouteSchema,
  OpaqueRouteSchema,
  OutboundPolicySchema,
} from '@mesh/control-api/gen/linkerd/outbound_pb';
import { namespaceOf, tcpPortOf } from '@mesh/kube/objects';
import type { Service, Stored } from '@mesh/kube/types';
import { isOpaqueServicePort } from '@mesh/multicluster/opaque-ports';
import type { ClusterObjects } from './cluster-objects.ts';
import { serviceRef } from './profile.ts';
import type { Settings } from './settings.ts';

export type OutboundMessage = MessageInitShape<typeof OutboundPolicySchema>;

const failureAccrual: MessageInitShape<typeof FailureAccrualSchema> = {
  kind: {
    case: 'consecutiveFailures',
    value: {
      maxFailures: 7,
      backoff: {
        minBackoff: durationFromMs(1000),
        maxBackoff: durationFromMs(60_000),
        jitterRatio: 0.5,
      },
    },
  },
};

interface ServicePort {
  service: Stored<Service>;
  port: number;
}

export function outboundPolicy(
  objects: ClusterObjects,
  { service, port }: ServicePort,
  settings: Settings,
): OutboundMessage {
  const metadata = serviceRef(service, port);
  const namespace = namespaceOf(service);
  const backend = balancedBackend(
    `${service.metadata.name}.${namespace}.svc.${settings.clusterDomain}:${port}`,
    metadata,
  );
  const opaqueRoutes = [opaqueRoute(backend)];
  const http = { routes: [httpRoute(backend)], failureAccrual };
  const opaque = isOpaqueServicePort({
    service,
    namespace: objects.namespaces.get(undefined, namespace),
    port,
    fallback: settings.opaquePorts,
  });
  if (opaque) return { metadata, protocol: { kind: { case: 'opaque', value: { routes: opaqueRoutes } } } };
  const appProtocol = tcpPortOf(service, port)?.appProtocol;
  if (appProtocol === 'kubernetes.io/h2c') {
    return { metadata, protocol: { kind: { case: 'http2', value: http } } };
  }
  if (appProtocol === 'http') return { metadata, protocol: { kind: { case: 'http1', value: http } } };
  return {
    metadata,
    protocol: {
      kind: {
        case: 'detect',
        value: {
          timeout: durationFromMs(10_000),
          opaque: { routes: opaqueRoutes },
          http1: http,
          http2: http,
        },
      },
    },
  };
}

type Backend = ReturnType<typeof balancedBackend>;

function balancedBackend(path: string, metadata: ReturnType<typeof serviceRef>) {
  return {
    metadata,
    queue: { capacity: 100, failfastTimeout: durationFromMs(3000) },
    kind: {
      case: 'balancer' as const,
      value: {
        discovery: { kind: { case: 'dst' as const, value: { path } } },
        load: {
          case: 'peakEwma' as const,
          value: { defaultRtt: durationFromMs(30), decay: durationFromMs(10_000) },
        },
      },
    },
  };
}

function httpRoute(backend: Backend): MessageInitShape<typeof HttpRouteSchema> {
  return {
    metadata: { kind: { case: 'default', value: 'http' } },
    rules: [
      {
        matches: [{ path: { kind: { case: 'prefix', value: '/' } } }],
        backends: { kind: { case: 'firstAvailable', value: { backends: [{ backend }] } } },
      },
    ],
  };
}

function opaqueRoute(backend: Backend): MessageInitShape<typeof OpaqueRouteSchema> {
  return {
    metadata: { kind: { case: 'default', value: 'opaq' } },
    rules: [{ backends: { kind: { case: 'firstAvailable', value: { backends: [{ backend }] } } } }],
  };
}
