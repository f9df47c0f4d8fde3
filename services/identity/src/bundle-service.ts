/** `mesh.identity.v1.TrustBundle`: the anchors that the issuer's Secret names, as they change. */
import { TrustBundle } from '@mesh/control-api/gen/mesh/identity/v1/bundle_pb';
import { type GrpcRoutes, grpcService } from '@mesh/control-api/grpc-server';
import type { PeerIdentity } from '@mesh/trust/names';
import type { IssuerSource } from './issuer-source.ts';

export function bundleService(source: IssuerSource): GrpcRoutes<PeerIdentity> {
  return grpcService<typeof TrustBundle, PeerIdentity>(TrustBundle, {
    watch(_request, sink) {
      let sent = '';
      let writable = true;
      // A slow reader gets the newest set only.
      const publish = (): void => {
        const anchorsPem = source.current?.anchorsPem ?? '';
        if (!sink.open || !writable || anchorsPem === '' || anchorsPem === sent) return;
        sent = anchorsPem;
        writable = sink.send({ anchorsPem });
      };
      sink.onCancel(source.onChange(publish));
      sink.onDrain(() => {
        writable = true;
        publish();
      });
      publish();
    },
  });
}
