import { systemClock } from '@mesh/clock/system';
import { readConfig } from '@mesh/config/environment';
import { ControlServer, controlLimits } from '@mesh/dataplane/control-server';
import { describeError, MeshError } from '@mesh/errors/mesh-error';
import { KubeClient } from '@mesh/kube/client';
import { inCluster } from '@mesh/kube/config';
import { LimitLedger } from '@mesh/limits/limits';
import { adminLedgers, startAdmin } from '@mesh/dataplane/admin-server';
import { limitMetrics } from '@mesh/telemetry/limit-metrics';
import { createLogger } from '@mesh/telemetry/log';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { CredentialStore } from '@mesh/trust/credentials';
import { controlPlaneIdentity } from '@mesh/trust/names';
import { bundleService } from './bundle-service.ts';
import { Certifier } from './certify.ts';
import { identityConfig } from './config.ts';
import { IssuerSource } from './issuer-source.ts';
import { identityLimits } from './limits.ts';
import { identityMetrics } from './metrics.ts';
import { keepOwnCertificate } from './own-certificate.ts';
import { IdentityServer } from './server.ts';

/** Followers of the trust bundle connect anew after this. */
const bundleMaxAgeMs = 3_600_000;

async function main(): Promise<void> {
  const config = readConfig(identityConfig, process.env);
  const clock = systemClock;
  const log = createLogger({
    clock,
    level: config.MESH_LOG_LEVEL,
    write: (line) => process.stdout.write(line),
  });
  const cluster = config.MESH_CLUSTER;
  const domain = config.MESH_TRUST_DOMAIN;
  if (!domain.startsWith(`${cluster}.`)) {
    throw new MeshError('config-invalid', `MESH_TRUST_DOMAIN=${domain} does not start with "${cluster}."`, {
      remedy: 'The trust domain of a cluster is its name, a dot and the suffix that all clusters share.',
    });
  }
  const suffix = domain.slice(cluster.length + 1);
  const registry = new MetricRegistry();
  const limits = new LimitLedger(identityLimits, {
    identity_pod_certificates_per_minute: config.MESH_POD_CERTIFICATES_PER_MINUTE,
    identity_certificates_per_minute: config.MESH_IDENTITY_CERTIFICATES_PER_MINUTE,
  });
  const source = new IssuerSource({
    directory: config.MESH_ISSUER_DIR,
    cluster,
    suffix,
    clock,
    log,
    pollMs: config.MESH_ISSUER_POLL,
  });
  const metrics = identityMetrics(registry, source);
  const client = new KubeClient({ ...inCluster(), clock });
  const credentials = new CredentialStore();
  const certifier = new Certifier({
    cluster,
    suffix,
    clock,
    limits,
    lifetimeMs: config.MESH_LEAF_LIFETIME,
    issuer: () => source.current,
    reviewToken: (token, audiences) =>
      client.reviewToken(token, audiences, { timeoutMs: config.MESH_TOKEN_REVIEW_TIMEOUT }),
    onIssued: ({ identity, pod, serial, validUntil }) => {
      log.info('certificate issued', {
        identity,
        pod,
        serial,
        validUntil: new Date(validUntil).toISOString(),
      });
    },
  });
  const server = new IdentityServer({
    port: config.MESH_IDENTITY_PORT,
    certifier,
    credentials,
    clock,
    log,
    limits,
    metrics,
  });
  const followers = registry
    .gauge('mesh_trust_bundle_followers', 'Connections that follow the trust bundle.')
    .with();
  const bundleLimits = controlLimits();
  const bundles = new ControlServer({
    port: config.MESH_TRUST_BUNDLE_PORT,
    services: [bundleService(source)],
    cluster,
    trustSuffix: suffix,
    credentials,
    clock,
    log,
    metrics: {
      call: () => {},
      refused: metrics.tlsRefused,
      connections: (change) => followers.add(change),
    },
    limits: bundleLimits,
    maxAgeMs: bundleMaxAgeMs,
  });
  const pageLimits = adminLedgers();
  limitMetrics(registry, [
    limits,
    ...Object.values(pageLimits),
    server.grpcLimits,
    server.http2Limits,
    server.trustLimits,
    ...Object.values(bundleLimits),
  ]);
  let serving = false;
  const admin = await startAdmin({
    clock,
    port: config.MESH_ADMIN_PORT,
    registry,
    limits: pageLimits,
    ready: () => ({
      ready: serving && source.current !== undefined,
      reason: source.fault === '' ? 'starting' : source.fault,
    }),
  });
  await source.start();
  const stopRenewal = keepOwnCertificate({
    source,
    store: credentials,
    identity: controlPlaneIdentity('mesh-identity', cluster, suffix),
    clock,
    lifetimeMs: config.MESH_LEAF_LIFETIME,
  });
  await Promise.all([server.start(), bundles.start()]);
  serving = true;
  log.info('identity serves', { cluster, port: server.port });

  const stop = async (): Promise<void> => {
    serving = false;
    source.stop();
    stopRenewal();
    await Promise.all([server.stop(), bundles.stop(), admin.close()]);
    client.close();
  };
  process.once('SIGTERM', () => void stop().then(() => process.exit(0)));
  process.once('SIGINT', () => void stop().then(() => process.exit(0)));
}

main().catch((failure: unknown) => {
  process.stderr.write(`identity: ${describeError(failure)}\n`);
  process.exit(1);
});
