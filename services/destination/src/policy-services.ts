/** `InboundServerPolicies` and `OutboundPolicies` of `io.linkerd.proxy`. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { tcpAddressToHostPort } from '@mesh/control-api/convert';
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
import { parseTarget } from './target.ts';
import { streamValue } from './value-stream.ts';

export function inboundPolicies(services: Services): GrpcRoutes<PeerIdentity> {
  return grpcService(InboundServerPolicies, {
    getPort: (request) => inboundOf(services, request),
    watchPort: (request, sink) => {
      const { namespace, pod } = workloadOf(request);
      streamValue({
        sink,
        schema: ServerSchema,
        notifier: services.notifier,
        topics: () => [topics.pod(namespace, pod), topics.namespace(namespace)],
        compute: () => outcome(() => inboundOf(services, request)),
      });
    },
  });
}

export function outboundPolicies(services: Services): GrpcRoutes<PeerIdentity> {
  return grpcService(OutboundPolicies, {
    get: (request) => outboundOf(services, request),
    watch: (request, sink) =>
      streamValue({
        sink,
        schema: OutboundPolicySchema,
        notifier: services.notifier,
        topics: () => outboundTopics(services, request),
        compute: () => outcome(() => outboundOf(services, request)),
      }),
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

function workloadOf(request: PortSpec): { namespace: string; pod: string } {
  const workload = parseWorkload(request.workload);
  if (workload === undefined || request.port < 1 || request.port > 65_535) {
    throw new GrpcError(
      grpcCode.invalidArgument,
      `no port of a pod: workload ${JSON.stringify(request.workload)}, port ${request.port}`,
    );
  }
  return workload;
}

function inboundOf(
  { objects, settings }: Services,
  request: PortSpec,
): MessageInitShape<typeof ServerSchema> {
  const { namespace, pod: name } = workloadOf(request);
  const pod = objects.pods.get(namespace, name);
  if (pod === undefined) throw new GrpcError(grpcCode.notFound, `there is no pod ${namespace}/${name}`);
  return inboundServer(
    { pod, namespace: objects.namespaces.get(undefined, namespace), port: request.port },
    settings,
  );
}

/** The Service and port that a request means; undefined for what is no Service. */
function findService({ objects, settings }: Services, { target }: TrafficSpec) {
  if (target.case === 'addr') {
    const address = tcpAddressToHostPort(target.value);
    if (address === undefined) throw new GrpcError(grpcCode.invalidArgument, 'the address is no IP and port');
    const [service] = objects.services.byIndex(byAddress, address.host);
    return service === undefined ? undefined : { service, port: address.port };
  }
  if (target.case !== 'authority') throw new GrpcError(grpcCode.invalidArgument, 'no target was given');
  const named = parseTarget(target.value, settings.clusterDomain);
  if ('fault' in named) throw new GrpcError(grpcCode.invalidArgument, named.fault);
  const service = objects.services.get(named.namespace, named.service);
  return service === undefined ? undefined : { service, port: named.port };
}

function outboundOf(services: Services, request: TrafficSpec): MessageInitShape<typeof OutboundPolicySchema> {
  const found = findService(services, request);
  if (found === undefined || servicePortName(found.service, found.port) === undefined) {
    throw new GrpcError(grpcCode.notFound, 'no service has this address or name and port');
  }
  return outboundPolicy(services.objects, found, services.settings);
}

function outboundTopics(services: Services, request: TrafficSpec): string[] {
  const found = findService(services, request);
  if (found === undefined) return [];
  const namespace = namespaceOf(found.service);
  return [topics.service(namespace, found.service.metadata.name), topics.namespace(namespace)];
}
