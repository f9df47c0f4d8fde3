/** `mesh.gateway.v1.Gateway`: the table, for the gateway of this cluster and nobody else. */
import { Gateway, GatewayTableSchema } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import { type GrpcRoutes, grpcService } from '@mesh/control-api/grpc-server';
import { GrpcError, grpcCode } from '@mesh/control-api/status';
import { gatewayIdentity, type PeerIdentity } from '@mesh/trust/names';
import { topics } from './changes.ts';
import { gatewayTable } from './gateway-table.ts';
import type { Services } from './services.ts';
import { streamValue } from './value-stream.ts';

export function gatewayService(services: Services): GrpcRoutes<PeerIdentity> {
  const { objects, notifier, settings, linksKnown } = services;
  const allowed = gatewayIdentity(settings.cluster, settings.trustSuffix);
  return grpcService(Gateway, {
    watch: (_request, sink, { peer }) => {
      if (peer.name !== allowed) {
        throw new GrpcError(grpcCode.permissionDenied, `only ${allowed} may read the gateway table`);
      }
      streamValue({
        sink,
        schema: GatewayTableSchema,
        notifier,
        topics: () => [topics.gateway],
        compute: () =>
          linksKnown() ? { kind: 'value', value: gatewayTable(objects, settings) } : { kind: 'wait' },
      });
    },
  });
}
