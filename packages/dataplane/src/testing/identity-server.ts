/** An identity service for tests, on a real port: it issues whatever is asked for to who holds the good token. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { type Authority, signLeaf } from '@mesh/ca/authority';
import { issueCredentials } from '@mesh/ca/credentials';
import { checkCsr } from '@mesh/ca/signing-request';
import { systemClock as clock } from '@mesh/clock/system';
import type { HostPort } from '@mesh/control-api/convert';
import { Identity } from '@mesh/control-api/gen/linkerd/identity_pb';
import { grpcService, serveGrpc } from '@mesh/control-api/grpc-server';
import { grpcLimits } from '@mesh/control-api/limits';
import { GrpcError, grpcCode } from '@mesh/control-api/status';
import { http2Limits } from '@mesh/http2/limits';
import { serveHttp2 } from '@mesh/http2/server';
import { LimitLedger } from '@mesh/limits/limits';
import { TlsAcceptor } from '@mesh/trust/accept';
import { CredentialStore } from '@mesh/trust/credentials';
import { controlPlaneIdentity } from '@mesh/trust/names';

export const goodToken = 'good';

export async function startIdentity(
  test: TestContext,
  { cluster, issuer, anchorsPem }: { cluster: string; issuer: Authority; anchorsPem: string },
): Promise<HostPort> {
  const identity = controlPlaneIdentity('mesh-identity', cluster);
  const acceptor = new TlsAcceptor({
    credentials: new CredentialStore(issueCredentials({ issuer, anchorsPem, identity, clock })),
    clock,
    alpn: [],
    clientCertificate: 'none',
  });
  const service = grpcService<typeof Identity, undefined>(Identity, {
    certify(request) {
      if (Buffer.from(request.token).toString() !== goodToken) {
        throw new GrpcError(grpcCode.failedPrecondition, 'the token is not valid');
      }
      const checked = checkCsr(Buffer.from(request.certificateSigningRequest), request.identity);
      if ('fault' in checked) throw new GrpcError(grpcCode.failedPrecondition, checked.fault);
      const leaf = signLeaf({ issuer, spki: checked.spki, identity: request.identity, clock });
      return {
        leafCertificate: leaf.der,
        intermediateCertificates: [
          Buffer.from(issuer.certificatePem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64'),
        ],
        validUntil: timestampFromMs(leaf.notAfter),
      };
    },
  });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    acceptor.accept(socket, (result) => {
      if ('refused' in result) return;
      const limits = new LimitLedger(grpcLimits);
      serveHttp2(result.socket, serveGrpc([service], { peer: undefined, clock, limits }), {
        clock,
        limits: new LimitLedger(http2Limits),
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  test.after(() => {
    acceptor.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
}
