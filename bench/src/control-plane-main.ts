/**
 * Control plane of the bench, a process of its own: certificates for who holds the token, and the services of a table, over the
 * same TLS and API as in a cluster. Argument: a file with a ControlPlaneTable.
 */
import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { type Authority, authority, signLeaf } from '@mesh/ca/authority';
import { issueCredentials } from '@mesh/ca/credentials';
import { checkCsr } from '@mesh/ca/signing-request';
import { systemClock as clock } from '@mesh/clock/system';
import { tcpAddress } from '@mesh/control-api/convert';
import { Destination, type WeightedAddrSchema } from '@mesh/control-api/gen/linkerd/destination_pb';
import { Gateway } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import { Identity } from '@mesh/control-api/gen/linkerd/identity_pb';
import { type GrpcRoutes, grpcService, serveGrpc } from '@mesh/control-api/grpc-server';
import { grpcLimits } from '@mesh/control-api/limits';
import { GrpcError, grpcCode } from '@mesh/control-api/status';
import { http2Limits } from '@mesh/http2/limits';
import { serveHttp2 } from '@mesh/http2/server';
import { LimitLedger } from '@mesh/limits/limits';
import { TlsAcceptor } from '@mesh/trust/accept';
import { CredentialStore } from '@mesh/trust/credentials';
import { controlPlaneIdentity } from '@mesh/trust/names';
import { certificateDers } from '@mesh/trust/pem';
import { policyServices } from './control-plane-policies.ts';
import type { ControlPlaneTable, ServedEndpoint } from './control-plane-table.ts';
import { clusters, namespace } from './trust-material.ts';

const table = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as ControlPlaneTable;

function readIssuer(): Authority {
  const [der] = certificateDers(readFileSync(table.issuer.certificate, 'utf8'));
  if (der === undefined) throw new Error(`${table.issuer.certificate} holds no certificate`);
  return authority(createPrivateKey(readFileSync(table.issuer.key)), der);
}

const issuer = readIssuer();

const identityService = grpcService<typeof Identity, undefined>(Identity, {
  certify(request) {
    const checked = checkCsr(Buffer.from(request.certificateSigningRequest), request.identity);
    if ('fault' in checked) throw new GrpcError(grpcCode.failedPrecondition, checked.fault);
    const leaf = signLeaf({ issuer, spki: checked.spki, identity: request.identity, clock });
    return {
      leafCertificate: leaf.der,
      intermediateCertificates: certificateDers(issuer.certificatePem),
      validUntil: timestampFromMs(leaf.notAfter),
    };
  },
});

const destinationService = grpcService<typeof Destination, undefined>(Destination, {
  get(request, sink) {
    const service = table.services.find(
      ({ name, clusterIp }) => request.path === authorityOf(name, clusterIp),
    );
    sink.send({
      update:
        service === undefined
          ? { case: 'noEndpoints', value: { exists: false } }
          : {
              case: 'add',
              value: { addrs: service.endpoints.map((one) => weightedAddr(one, service.opaque)) },
            },
    });
  },
  getProfile(request, sink) {
    const service = table.services.find(({ clusterIp }) => request.path === clusterIp);
    sink.send(
      service === undefined ? {} : { fullyQualifiedName: service.name, opaqueProtocol: service.opaque },
    );
  },
});

/** Everything is exported to every cluster. */
const gatewayService = grpcService<typeof Gateway, undefined>(Gateway, {
  watch(_request, sink) {
    sink.send({
      cluster: table.cluster,
      trustDomain: `${table.cluster}.mesh.local`,
      peers: clusters.filter((name) => name !== table.cluster).map((cluster) => ({ cluster, allow: true })),
      exports: table.services.map(({ name }) => ({
        namespace,
        name: name.slice(0, name.indexOf('.')),
        ports: [{ name: 'http', port: 80 }],
        allowAllClusters: true,
      })),
    });
  },
});

function authorityOf(name: string, clusterIp: string): string {
  return `${name}${clusterIp.slice(clusterIp.indexOf(':'))}`;
}

function weightedAddr(
  { host, port, identity, authority }: ServedEndpoint,
  opaque: boolean,
): MessageInitShape<typeof WeightedAddrSchema> {
  const addr = tcpAddress(host, port);
  return {
    ...(addr === undefined ? {} : { addr }),
    weight: 10_000,
    metricLabels: { pod: `${host}:${port}` },
    ...(identity === undefined
      ? {}
      : { tlsIdentity: { strategy: { case: 'dnsLikeIdentity', value: { name: identity } } } }),
    protocolHint: {
      protocol: opaque
        ? { case: 'opaque', value: {} }
        : identity === undefined
          ? { case: undefined }
          : { case: 'h2', value: {} },
      // What is opaque goes straight to the peer's proxy, with the port in a header; so does all that a gateway gets.
      ...((opaque && identity !== undefined) || authority !== undefined
        ? { opaqueTransport: { inboundPort: 4143 } }
        : {}),
    },
    ...(authority === undefined ? {} : { authorityOverride: { authorityOverride: authority } }),
  };
}

async function serve(
  name: string,
  port: number,
  services: readonly GrpcRoutes<undefined>[],
  clientCertificate?: 'none',
): Promise<void> {
  const acceptor = new TlsAcceptor({
    credentials: new CredentialStore(
      issueCredentials({
        issuer,
        anchorsPem: table.anchorsPem,
        identity: controlPlaneIdentity(name, table.cluster),
        clock,
      }),
    ),
    clock,
    alpn: [],
    ...(clientCertificate === undefined ? {} : { clientCertificate }),
  });
  const server = createServer((socket) => {
    acceptor.accept(socket, (result) => {
      if ('refused' in result) return;
      const limits = new LimitLedger(grpcLimits);
      serveHttp2(result.socket, serveGrpc(services, { peer: undefined, clock, limits }), {
        clock,
        limits: new LimitLedger(http2Limits),
      });
    });
  });
  server.listen(port, table.host);
  await once(server, 'listening');
}

await serve('mesh-identity', table.identityPort, [identityService], 'none');
await serve('mesh-destination', table.destinationPort, [
  destinationService,
  gatewayService,
  ...policyServices(table),
]);
process.stdout.write('ready\n');
