import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Client, credentials as grpcCredentials, type ServiceError } from '@grpc/grpc-js';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { createAnchor, createIssuer } from '@mesh/ca/authority';
import { systemClock } from '@mesh/clock/system';
import {
  CertifyRequestSchema,
  CertifyResponseSchema,
  Identity,
} from '@mesh/control-api/gen/linkerd/identity_pb';
import { GrpcChannel } from '@mesh/control-api/grpc-client';
import { GrpcError, grpcCode } from '@mesh/control-api/status';
import { connectHttp2 } from '@mesh/http2/client';
import { http2Limits } from '@mesh/http2/limits';
import { LimitLedger } from '@mesh/limits/limits';
import { silentLogger } from '@mesh/telemetry/log';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { eventually } from '@mesh/testkit/eventually';
import { assertNoLeaks } from '@mesh/testkit/leaks';
import { dialTcp } from '@mesh/testkit/servers';
import { checkChain, parseAnchors } from '@mesh/trust/chain';
import { CredentialStore } from '@mesh/trust/credentials';
import { createKeyAndCsr } from '@mesh/trust/csr';
import { dialTls } from '@mesh/trust/dial';
import { controlPlaneIdentity, identityName } from '@mesh/trust/names';
import { Certifier } from './certify.ts';
import { IssuerSource } from './issuer-source.ts';
import { type IdentityLimit, identityLimits } from './limits.ts';
import { identityMetrics } from './metrics.ts';
import { keepOwnCertificate } from './own-certificate.ts';
import { IdentityServer } from './server.ts';

const clock = systemClock;
const anchor = createAnchor({ clock });
const identity = identityName({ serviceAccount: 'cart', namespace: 'shop', cluster: 'east' });
const ownIdentity = controlPlaneIdentity('mesh-identity', 'east');

function writeIssuer(directory: string, cluster = 'east', by = anchor): void {
  const issuer = createIssuer({ anchor: by, cluster, clock });
  writeFileSync(join(directory, 'tls.crt'), issuer.certificatePem);
  writeFileSync(join(directory, 'tls.key'), issuer.key.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(join(directory, 'ca.crt'), by.certificatePem);
}

interface Running {
  readonly port: number;
  readonly directory: string;
  readonly source: IssuerSource;
  readonly store: CredentialStore;
  readonly registry: MetricRegistry;
  readonly limits: LimitLedger<IdentityLimit>;
}

async function run(
  context: TestContext,
  limitValues: Partial<Record<IdentityLimit, number>> = {},
): Promise<Running> {
  assertNoLeaks(context);
  const directory = mkdtempSync(join(tmpdir(), 'mesh-issuer-'));
  writeIssuer(directory);
  const log = silentLogger;
  const registry = new MetricRegistry();
  const source = new IssuerSource({
    directory,
    cluster: 'east',
    suffix: 'mesh.local',
    clock,
    log,
    pollMs: 60_000,
  });
  const limits = new LimitLedger(identityLimits, limitValues);
  const store = new CredentialStore();
  const certifier = new Certifier({
    cluster: 'east',
    suffix: 'mesh.local',
    clock,
    limits,
    lifetimeMs: 3_600_000,
    issuer: () => source.current,
    reviewToken: async (token, audiences) =>
      token === 'good'
        ? { authenticated: true, audiences, user: { username: 'system:serviceaccount:shop:cart' } }
        : { authenticated: false },
  });
  const server = new IdentityServer({
    port: 0,
    host: '127.0.0.1',
    certifier,
    credentials: store,
    clock,
    log,
    limits,
    metrics: identityMetrics(registry, source),
  });
  await source.start();
  const stopRenewal = keepOwnCertificate({
    source,
    store,
    identity: ownIdentity,
    clock,
    lifetimeMs: 3_600_000,
  });
  await server.start();
  context.after(async () => {
    source.stop();
    stopRenewal();
    await server.stop();
    rmSync(directory, { recursive: true });
  });
  return { port: server.port, directory, source, store, registry, limits };
}

function channelTo(context: TestContext, port: number, alpn: readonly string[] = []): GrpcChannel {
  const channel = new GrpcChannel({
    clock,
    authority: 'mesh-identity.mesh.svc.cluster.local:8080',
    connect: async () =>
      connectHttp2(
        await dialTls({
          host: '127.0.0.1',
          port,
          identity: ownIdentity,
          alpn,
          credentials: { anchorsPem: anchor.certificatePem },
          clock,
          timeoutMs: 5000,
        }),
        { clock, limits: new LimitLedger(http2Limits) },
      ),
  });
  context.after(() => channel.close());
  return channel;
}

test('a proxy without a certificate gets one, with and without ALPN', async (context) => {
  const { port, registry } = await run(context);
  for (const alpn of [[], ['h2']]) {
    const { csrDer } = await createKeyAndCsr(identity);
    const response = await channelTo(context, port, alpn).unary(Identity.method.certify, {
      identity,
      token: Buffer.from('good'),
      certificateSigningRequest: csrDer,
    });
    const verdict = checkChain({
      chain: [response.leafCertificate, ...response.intermediateCertificates].map((der) => Buffer.from(der)),
      anchors: parseAnchors(anchor.certificatePem),
      now: clock.wall(),
      role: 'client',
    });
    assert.ok('peer' in verdict, JSON.stringify(verdict));
    assert.equal(verdict.peer.name, identity);
    assert.ok(response.validUntil !== undefined && timestampMs(response.validUntil) === verdict.notAfter);
  }
  assert.match(registry.render(), /mesh_identity_certificates_total 2/);
});

test('grpc-js as the client: a certificate, and a refusal with status and message', async (context) => {
  const { port } = await run(context);
  const client = new Client(
    `127.0.0.1:${port}`,
    grpcCredentials.createSsl(Buffer.from(anchor.certificatePem), null, null, {
      checkServerIdentity: () => undefined,
    }),
    { 'grpc.ssl_target_name_override': ownIdentity },
  );
  context.after(() => client.close());
  const { csrDer } = await createKeyAndCsr(identity);
  const certify = (token: string): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        '/io.linkerd.proxy.identity.Identity/Certify',
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        Buffer.from(
          toBinary(
            CertifyRequestSchema,
            create(CertifyRequestSchema, {
              identity,
              token: Buffer.from(token),
              certificateSigningRequest: csrDer,
            }),
          ),
        ),
        (error: ServiceError | null, answer?: Buffer) =>
          answer === undefined ? reject(error ?? new Error('no answer')) : resolve(answer),
      );
    });
  const response = fromBinary(CertifyResponseSchema, await certify('good'));
  assert.ok(response.leafCertificate.length > 300);
  await assert.rejects(certify('bad'), (error: ServiceError) => {
    assert.equal(error.code, 16);
    assert.match(error.details, /may have expired/);
    return true;
  });
});

test('a refusal carries its gRPC status and is counted by reason', async (context) => {
  const { port, registry } = await run(context);
  const { csrDer } = await createKeyAndCsr(identity);
  const other = identityName({ serviceAccount: 'admin', namespace: 'shop', cluster: 'east' });
  const channel = channelTo(context, port);
  const ask = (request: object): Promise<unknown> =>
    channel.unary(Identity.method.certify, {
      identity,
      token: Buffer.from('good'),
      certificateSigningRequest: csrDer,
      ...request,
    });
  const { csrDer: otherCsr } = await createKeyAndCsr(other);
  const isCode = (code: number) => (thrown: unknown) => thrown instanceof GrpcError && thrown.code === code;
  await assert.rejects(ask({ identity: other }), isCode(grpcCode.invalidArgument));
  await assert.rejects(
    ask({ identity: other, certificateSigningRequest: otherCsr }),
    isCode(grpcCode.permissionDenied),
  );
  await assert.rejects(ask({ token: Buffer.from('bad') }), isCode(grpcCode.unauthenticated));
  assert.match(registry.render(), /mesh_identity_refused_total\{reason="other-identity"\} 1/);
});

test('who holds connections keeps nobody from a certificate: the oldest makes room', async (context) => {
  const { port, limits } = await run(context, { identity_connections: 4 });
  const idle: TLSSocket[] = [];
  for (let held = 0; held < 4; held++) {
    const socket = await dialTls({
      socket: await dialTcp(context, port),
      identity: ownIdentity,
      alpn: [],
      credentials: { anchorsPem: anchor.certificatePem },
      clock,
      timeoutMs: 5000,
    });
    idle.push(socket.on('error', () => {}).resume());
  }
  const { csrDer } = await createKeyAndCsr(identity);
  const response = await channelTo(context, port).unary(Identity.method.certify, {
    identity,
    token: Buffer.from('good'),
    certificateSigningRequest: csrDer,
  });
  assert.ok(response.leafCertificate.length > 0);
  await eventually('the oldest is gone', () => idle[0]?.destroyed);
  assert.deepEqual(
    idle.map(({ destroyed }) => destroyed),
    [true, false, false, false],
  );
  assert.equal(limits.hits('identity_connections'), 1);
});

test('a new issuer signs new leaves and our own certificate, without a restart', async (context) => {
  const { port, directory, source, store } = await run(context);
  const before = source.current?.certificatePem;
  const own = store.current?.chainPem;
  writeIssuer(directory);
  await source.reload();
  assert.notEqual(source.current?.certificatePem, before);
  assert.notEqual(store.current?.chainPem, own);
  assert.ok(store.current?.chainPem.includes(source.current?.certificatePem ?? 'nothing'));
  const { csrDer } = await createKeyAndCsr(identity);
  const response = await channelTo(context, port).unary(Identity.method.certify, {
    identity,
    token: Buffer.from('good'),
    certificateSigningRequest: csrDer,
  });
  const [intermediate] = response.intermediateCertificates;
  assert.ok(intermediate !== undefined && source.current?.certificate.der.equals(intermediate));
});

test('an issuer that is broken, of another cluster or under another anchor does not replace the old one', async (context) => {
  const { directory, source } = await run(context);
  const before = source.current;
  writeFileSync(join(directory, 'tls.crt'), 'garbage');
  await source.reload();
  assert.match(source.fault, /no-certificate/);
  writeIssuer(directory, 'west');
  await source.reload();
  assert.match(source.fault, /wrong-domain/);
  rmSync(join(directory, 'tls.key'));
  await source.reload();
  assert.match(source.fault, /ENOENT/);
  assert.equal(source.current, before);
  writeIssuer(directory);
  await source.reload();
  assert.equal(source.fault, '');
  assert.notEqual(source.current, before);
});

test('a client with an old TLS version is refused and counted', async (context) => {
  const { port, registry } = await run(context);
  const socket = connectTls({ port, host: '127.0.0.1', maxVersion: 'TLSv1.2', rejectUnauthorized: false });
  socket.on('error', () => {});
  await eventually('the client was refused', () =>
    /mesh_tls_refused_total\{reason="tls-version"\} 1/.test(registry.render()),
  );
  socket.destroy();
});
