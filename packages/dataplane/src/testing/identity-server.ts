/**
 * An identity service for tests, on a real port: it issues whatever is asked for to who holds the good token, and tells
 * the anchors. Both on one port, where the real one has two.
 */
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
import { type BundleSchema, TrustBundle } from '@mesh/control-api/gen/mesh/identity/v1/bundle_pb';
import { grpcService, serveGrpc } from '@mesh/control-api/grpc-server';
import { grpcLimits } from '@mesh/control-api/limits';
import type { GrpcSink } from '@mesh/control-api/response-sink';
import { GrpcError, grpcCode } from '@mesh/control-api/status';
import { http2Limits } from '@mesh/http2/limits';
import { serveHttp2 } from '@mesh/http2/server';
import { LimitLedger } from '@mesh/limits/limits';
import { TlsAcceptor } from '@mesh/trust/accept';
import { CredentialStore } from '@mesh/trust/credentials';
import { controlPlaneIdentity } from '@mesh/trust/names';

export const goodToken = 'good';

export interface TestIssuer {
  readonly issuer: Authority;
  readonly anchorsPem: string;
  /** Of the leaves that it issues. */
  readonly lifetimeMs?: number;
  /** How long it takes over an answer. Default: no time. */
  readonly answersAfterMs?: number;
}

export interface TestIdentity extends HostPort {
  /** Signs with another issuer from now on, itself included, and tells the anchors if there are some in `change`. */
  rotate(change: Partial<TestIssuer>): void;
}

export async function startIdentity(
  test: TestContext,
  { cluster, ...first }: TestIssuer & { cluster: string },
): Promise<TestIdentity> {
  const identity = controlPlaneIdentity('mesh-identity', cluster);
  let now: TestIssuer = first;
  const own = new CredentialStore(
    issueCredentials({ issuer: now.issuer, anchorsPem: now.anchorsPem, identity, clock }),
  );
  const acceptor = new TlsAcceptor({ credentials: own, clock, alpn: [], clientCertificate: 'none' });
  const followers = new Set<GrpcSink<typeof BundleSchema>>();
  const bundle = grpcService<typeof TrustBundle, undefined>(TrustBundle, {
    watch(_request, sink) {
      followers.add(sink);
      sink.onCancel(() => followers.delete(sink));
      sink.send({ anchorsPem: now.anchorsPem });
    },
  });
  const service = grpcService<typeof Identity, undefined>(Identity, {
    async certify(request) {
      await new Promise((resolve) => clock.after(now.answersAfterMs ?? 0, () => resolve(undefined)));
      if (Buffer.from(request.token).toString() !== goodToken) {
        throw new GrpcError(grpcCode.failedPrecondition, 'the token is not valid');
      }
      const checked = checkCsr(Buffer.from(request.certificateSigningRequest), request.identity);
      if ('fault' in checked) throw new GrpcError(grpcCode.failedPrecondition, checked.fault);
      const { issuer } = now;
      const leaf = signLeaf({
        issuer,
        spki: checked.spki,
        identity: request.identity,
        clock,
        ...lifetime(now),
      });
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
      serveHttp2(result.socket, serveGrpc([service, bundle], { peer: undefined, clock, limits }), {
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
  return {
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    rotate(change) {
      now = { ...now, ...change };
      own.update(issueCredentials({ issuer: now.issuer, anchorsPem: now.anchorsPem, identity, clock }));
      if (change.anchorsPem === undefined) return;
      for (const sink of followers) sink.send({ anchorsPem: now.anchorsPem });
    },
  };
}

function lifetime({ lifetimeMs }: TestIssuer): { lifetimeMs?: number } {
  return lifetimeMs === undefined ? {} : { lifetimeMs };
}
