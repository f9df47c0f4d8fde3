/**
 * Control plane of the bench, a process of its own: certificates for who holds the token, and the services of a table, over the
 * same TLS and API as in a cluster. Argument: a file with a ControlPlaneTable, which is read again at SIGHUP.
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
import {
  Destination,
  type UpdateSchema,
  type WeightedAddrSchema,
} from '@mesh/control-api/gen/linkerd/destination_pb';
import { Gateway } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import { TrustBundle } from '@mesh/control-api/gen/mesh/identity/v1/bundle_pb';
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
import type { ControlPlaneTable, ServedEndpoint, ServedService } from './control-plane-table.ts';
import { FollowedTable } from './followed-table.ts';
import { clusters, namespace } from './trust-material.ts';

const readTable = (): ControlPlaneTable =>
  JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as ControlPlaneTable;
const followed = new FollowedTable(readTable());
process.on('SIGHUP', () => followed.replace(readTable()));

function readIssuer({ table }: FollowedTable): Authority {
  const [der] = certificateDers(readFileSync(table.issuer.certificate, 'utf8'));
  if (der === undefined) throw new Error(`${table.issuer.certificate} holds no certificate`);
  return authority(createPrivateKey(readFileSync(table.issuer.key)), der);
}

const issuer = readIssuer(followed);

const identityService = grpcService<typeof Identity, undefined>(Identity, {
  certify(request) {
    const checked = checkCsr(Buffer.from(request.certificateSigningRequest), request.identity);
    if ('fault' in checked) throw new GrpcError(grpcCode.failedPrecondition, checked.fault);
    const { leafLifetimeMs: lifetimeMs } = followed.table;
    const leaf = signLeaf({
      issuer,
      spki: checked.spki,
      identity: request.identity,
      clock,
      ...(lifetimeMs === undefined ? {} : { lifetimeMs }),
    });
    return {
      leafCertificate: leaf.der,
      intermediateCertificates: certificateDers(issuer.certificatePem),
      validUntil: timestampFromMs(leaf.notAfter),
    };
  },
});

const bundleService = grpcService<typeof TrustBundle, undefined>(TrustBundle, {
  watch(_request, sink) {
    let told = '';
    followed.follow(sink, () => {
      const { anchorsPem } = followed.table;
      if (anchorsPem !== told) sink.send({ anchorsPem });
      told = anchorsPem;
    });
  },
});

const destinationService = grpcService<typeof Destination, undefined>(Destination, {
  get(request, sink) {
    const find = (): ServedService | undefined =>
      followed.table.services.find(({ name, clusterIp }) => request.path === authorityOf(name, clusterIp));
    let told: readonly ServedEndpoint[] = [];
    followed.follow(sink, () => {
      const service = find();
      for (const update of endpointUpdates(told, service)) sink.send({ update });
      told = service?.endpoints ?? [];
    });
  },
  getProfile(request, sink) {
    let told: string | undefined;
    followed.follow(sink, () => {
      const service = followed.table.services.find(({ clusterIp }) => request.path === clusterIp);
      if (service?.name === told && told !== undefined) return;
      told = service?.name;
      sink.send(
        service === undefined ? {} : { fullyQualifiedName: service.name, opaqueProtocol: service.opaque },
      );
    });
  },
});

type Update = Required<MessageInitShape<typeof UpdateSchema>>['update'];

/** What a proxy hears that was told these endpoints, none at first. */
function endpointUpdates(told: readonly ServedEndpoint[], service: ServedService | undefined): Update[] {
  if (service === undefined) return [{ case: 'noEndpoints', value: { exists: false } }];
  const key = ({ host, port }: ServedEndpoint): string => `${host}:${port}`;
  const [before, now] = [new Set(told.map(key)), new Set(service.endpoints.map(key))];
  const added = service.endpoints.filter((one) => !before.has(key(one)));
  const removed = told.filter((one) => !now.has(key(one)));
  const updates: Update[] = [];
  if (added.length > 0 || told.length === 0) {
    updates.push({
      case: 'add',
      value: { addrs: added.map((one) => weightedAddr(one, service.opaque)) },
    });
  }
  if (removed.length > 0) {
    const addrs = removed.map(({ host, port }) => tcpAddress(host, port)).filter((one) => one !== undefined);
    updates.push({ case: 'remove', value: { addrs } });
  }
  return updates;
}

/** Everything is exported to every cluster. */
const gatewayService = grpcService<typeof Gateway, undefined>(Gateway, {
  watch(_request, sink) {
    followed.follow(sink, () => {
      const { cluster, services } = followed.table;
      sink.send({
        cluster,
        trustDomain: `${cluster}.mesh.local`,
        peers: clusters.filter((name) => name !== cluster).map((name) => ({ cluster: name, allow: true })),
        exports: services.map(({ name, opaque }) => ({
          namespace,
          name: name.slice(0, name.indexOf('.')),
          ports: [{ name: 'http', port: 80, opaque }],
          allowAllClusters: true,
        })),
      });
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
        anchorsPem: followed.table.anchorsPem,
        identity: controlPlaneIdentity(name, followed.table.cluster),
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
  server.listen(port, followed.table.host);
  await once(server, 'listening');
}

const { identityPort, destinationPort } = followed.table;
await serve('mesh-identity', identityPort, [identityService, bundleService], 'none');
await serve('mesh-destination', destinationPort, [
  destinationService,
  gatewayService,
  ...policyServices(followed),
]);
process.stdout.write('ready\n');
