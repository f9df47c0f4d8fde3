/** `InboundServerPolicies` and `OutboundPolicies` of `io.linkerd.proxy`. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type HostPort, tcpAddressToHostPort } from '@mesh/control-api/convert';
import { InboundServerPolicies, type PortSpec, ServerSchema } from '@mesh/control-api/gen/linkerd/inbound_pb';
import {
  OutboundPolicies,
  OutboundPolicySchema,
  type TrafficSpec,
} from '@mesh/control-api/gen/linkerd/outbound_pb';
import { type GrpcRoutes, grpcService } from '@mesh/control-api/grpc-server';
import { GrpcError, grpcCode } from '@mesh/control-api/status';
import { namespaceOf } from '@mesh/kube/objects';
import type { PeerIdentity } from '@mesh/trust/names';
import { topics } from './changes.ts';
import { parseWorkload } from './client-context.ts';
import { byAddress } from './cluster-objects.ts';
import { inboundServer } from './inbound-policy.ts';
import { outboundPolicy } from './outbound-policy.ts';
import { servicePortName } from './service-ports.ts';
import type { Services } from './services.ts';
import { parseTarget, type Target } from './target.ts';
import { streamValue } from './value-stream.ts';

export function inboundPolicies(services: Services): GrpcRoutes<PeerIdentity> {
  return grpcService(InboundServerPolicies, {
    getPort: (request) => inboundOf(services, portOf(request)),
    watchPort: (request, sink) => {
      // The request itself, which may be large, is not kept for as long as the stream lasts.
      const asked = portOf(request);
      const { namespace, pod } = asked;
      streamValue({
        sink,
        schema: ServerSchema,
        notifier: services.notifier,
        topics: () => [topics.pod(namespace, pod), topics.namespace(namespace)],
        compute: () => outcome(() => inboundOf(services, asked)),
      });
    },
  });
}

export function outboundPolicies(services: Services): GrpcRoutes<PeerIdentity> {
  return grpcService(OutboundPolicies, {
    get: (request) => outboundOf(services, destinationOf(services, request)),
    watch: (request, sink) => {
      const asked = destinationOf(services, request);
      streamValue({
        sink,
        schema: OutboundPolicySchema,
        notifier: services.notifier,
        topics: () => outboundTopics(services, asked),
        compute: () => outcome(() => outboundOf(services, asked)),
      });
    },
  });
}

/** A refusal ends a stream as it ends a call: the proxy asks again or goes without policy. */
function outcome<Value>(compute: () => Value) {
  try {
    return { kind: 'value' as const, value: compute() };
  } catch (thrown) {
    if (thrown instanceof GrpcError) return { kind: 'end' as const, status: thrown.status };
    throw thrown;
  }
}

interface AskedPort {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

function portOf(request: PortSpec): AskedPort {
  const workload = parseWorkload(request.workload);
  if (workload === undefined || request.port < 1 || request.port > 65_535) {
    throw new GrpcError(
      grpcCode.invalidArgument,
      `no port of a pod: workload ${JSON.stringify(request.workload)}, port ${request.port}`,
    );
  }
  return { ...workload, port: request.port };
}

function inboundOf(
  { objects, settings }: Services,
  { namespace, pod: name, port }: AskedPort,
): MessageInitShape<typeof ServerSchema> {
  const pod = objects.pods.get(namespace, name);
  if (pod === undefined) throw new GrpcError(grpcCode.notFound, `there is no pod ${namespace}/${name}`);
  return inboundServer({ pod, namespace: objects.namespaces.get(undefined, namespace), port }, settings);
}

/** An address or a name, and a port. */
type AskedDestination = HostPort | Target;

function destinationOf({ settings }: Services, { target }: TrafficSpec): AskedDestination {
  if (target.case === 'addr') {
    const address = tcpAddressToHostPort(target.value);
    if (address === undefined) throw new GrpcError(grpcCode.invalidArgument, 'the address is no IP and port');
    return address;
  }
  if (target.case !== 'authority') throw new GrpcError(grpcCode.invalidArgument, 'no target was given');
  const named = parseTarget(target.value, settings.clusterDomain);
  if ('fault' in named) throw new GrpcError(grpcCode.invalidArgument, named.fault);
  return named;
}

/** Undefined for what is no Service. */
function findService({ objects }: Services, asked: AskedDestination) {
  const { port } = asked;
  if ('host' in asked) {
    const [service] = objects.services.byIndex(byAddress, asked.host);
    return service === undefined ? undefined : { service, port };
  }
  const service = objects.services.get(asked.namespace, asked.service);
  return service === undefined ? undefined : { service, port };
}

function outboundOf(
  services: Services,
  asked: AskedDestination,
): MessageInitShape<typeof OutboundPolicySchema> {
  const found = findService(services, asked);
  if (found === undefined || servicePortName(found.service, found.port) === undefined) {
    throw new GrpcError(grpcCode.notFound, 'no service has this address or name and port');
  }
  return outboundPolicy(services.objects, found, services.settings);
}

function outboundTopics(services: Services, asked: AskedDestination): string[] {
  const found = findService(services, asked);
  if (found === undefined) return [];
  const namespace = namespaceOf(found.service);
  return [topics.service(namespace, found.service.metadata.name), topics.namespace(namespace)];
}
