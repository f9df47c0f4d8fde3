import type { GrpcRoutes } from '@mesh/control-api/grpc-server';
import type { PeerIdentity } from '@mesh/trust/names';
import { destinationService } from './destination-service.ts';
import { gatewayService } from './gateway-service.ts';
import { inboundPolicies, outboundPolicies } from './policy-services.ts';
import type { Services } from './services.ts';

/** What each of the two ports serves. */
export function allServices(services: Services): {
  discovery: readonly GrpcRoutes<PeerIdentity>[];
  policy: readonly GrpcRoutes<PeerIdentity>[];
} {
  return {
    discovery: [destinationService(services), gatewayService(services)],
    policy: [inboundPolicies(services), outboundPolicies(services)],
  };
}
