import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createAnchor, createIssuer } from '@mesh/ca/authority';
import { issueCredentials } from '@mesh/ca/credentials';
import { systemClock as clock } from '@mesh/clock/system';
import { TrustBundle } from '@mesh/control-api/gen/mesh/identity/v1/bundle_pb';
import { GrpcChannel } from '@mesh/control-api/grpc-client';
import { ControlServer, controlLimits } from '@mesh/dataplane/control-server';
import { connectHttp2 } from '@mesh/http2/client';
import { http2Limits } from '@mesh/http2/limits';
import { LimitLedger } from '@mesh/limits/limits';
import { silentLogger } from '@mesh/telemetry/log';
import { eventually } from '@mesh/testkit/eventually';
import { assertNoLeaks } from '@mesh/testkit/leaks';
import { CredentialStore } from '@mesh/trust/credentials';
import { dialTls } from '@mesh/trust/dial';
import { controlPlaneIdentity, identityName } from '@mesh/trust/names';
import { bundleService } from './bundle-service.ts';
import { IssuerSource } from './issuer-source.ts';

test('the anchors of the mounted Secret reach identities of the cluster, and each change of them', async (t) => {
  assertNoLeaks(t);
  const [a, b] = [createAnchor({ clock }), createAnchor({ clock })];
  const issuer = createIssuer({ anchor: a, cluster: 'east', clock });
  const directory = mkdtempSync(join(tmpdir(), 'mesh-issuer-'));
  const write = (file: string, text: string): void => writeFileSync(join(directory, file), text);
  write('tls.crt', issuer.certificatePem);
  write('tls.key', issuer.key.export({ type: 'pkcs8', format: 'pem' }).toString());
  write('ca.crt', a.certificatePem);
  const source = new IssuerSource({
    directory,
    cluster: 'east',
    suffix: 'mesh.local',
    clock,
    log: silentLogger,
    pollMs: 60_000,
  });
  await source.start();
  const identity = controlPlaneIdentity('mesh-identity', 'east');
  const store = (name: string): CredentialStore =>
    new CredentialStore(issueCredentials({ issuer, anchorsPem: a.certificatePem, identity: name, clock }));
  const server = new ControlServer({
    port: 0,
    host: '127.0.0.1',
    services: [bundleService(source)],
    cluster: 'east',
    trustSuffix: 'mesh.local',
    credentials: store(identity),
    clock,
    log: silentLogger,
    metrics: { call() {}, refused() {}, connections() {} },
    limits: controlLimits(),
    maxAgeMs: 60_000,
  });
  await server.start();
  const credentials = store(identityName({ serviceAccount: 'cart', namespace: 'shop', cluster: 'east' }));
  const channel = new GrpcChannel({
    clock,
    authority: 'mesh-identity',
    connect: async () =>
      connectHttp2(
        await dialTls({
          host: '127.0.0.1',
          port: server.port,
          identity,
          alpn: [],
          credentials,
          clock,
          timeoutMs: 2000,
        }),
        { clock, limits: new LimitLedger(http2Limits) },
      ),
  });
  t.after(async () => {
    channel.close();
    source.stop();
    await server.stop();
    rmSync(directory, { recursive: true });
  });
  const bundles: string[] = [];
  channel.serverStream(
    TrustBundle.method.watch,
    {},
    { onMessage: ({ anchorsPem }) => bundles.push(anchorsPem), onEnd() {} },
  );
  await eventually('the first bundle', () => bundles.length === 1);
  write('ca.crt', a.certificatePem + b.certificatePem);
  await source.reload();
  await eventually('the change', () => bundles.length === 2);
  // Anchors that do not hold the issuer would cut everybody off; they are never told.
  write('ca.crt', b.certificatePem);
  await source.reload();
  assert.match(source.fault, /foreign-anchor/);
  write('ca.crt', a.certificatePem);
  await source.reload();
  await eventually('the next good change', () => bundles.length === 3);
  assert.deepEqual(bundles, [a.certificatePem, a.certificatePem + b.certificatePem, a.certificatePem]);
});
