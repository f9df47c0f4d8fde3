import { readFile } from 'node:fs/promises';
import { parseStoredValues, type Values } from '@mesh/charts/values';
import { systemClock } from '@mesh/clock/system';
import { readConfig } from '@mesh/config/environment';
import { describeError } from '@mesh/errors/mesh-error';
import { KubeClient } from '@mesh/kube/client';
import { inCluster } from '@mesh/kube/config';
import { namespaces } from '@mesh/kube/resources';
import { adminLedgers, startAdmin } from '@mesh/dataplane/admin-server';
import { limitMetrics } from '@mesh/telemetry/limit-metrics';
import { createLogger } from '@mesh/telemetry/log';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { CertificateKeeper } from './certificate-keeper.ts';
import { injectorConfig } from './config.ts';
import { InjectorServer } from './server.ts';

async function main(): Promise<void> {
  const config = readConfig(injectorConfig, process.env);
  const log = createLogger({
    clock: systemClock,
    level: config.MESH_LOG_LEVEL,
    write: (line) => process.stdout.write(line),
  });
  const readValues = async (): Promise<Values> =>
    parseStoredValues(await readFile(config.MESH_INSTALL_CONFIG_FILE, 'utf8'));
  let values = await readValues();
  const registry = new MetricRegistry();
  const client = new KubeClient({ ...inCluster(), clock: systemClock });
  const server = new InjectorServer({
    port: config.MESH_INJECTOR_PORT,
    log,
    clock: systemClock,
    reviews: registry.counter('mesh_injector_reviews_total', 'Admission reviews by outcome.'),
    cluster: {
      async values() {
        try {
          values = await readValues();
        } catch (failure) {
          log.error('install values not usable, the last ones are used', { error: describeError(failure) });
        }
        return values;
      },
      namespaceAnnotations: async (name) => {
        const namespace = await client.find(namespaces, { name });
        return namespace === undefined ? undefined : (namespace.metadata.annotations ?? {});
      },
    },
  });
  const pageLimits = adminLedgers();
  limitMetrics(registry, [server.limits, server.peerLimits, client.limits, ...Object.values(pageLimits)]);
  const keeper = new CertificateKeeper({
    client,
    clock: systemClock,
    log,
    namespace: client.namespace,
    lifetimeMs: config.MESH_INJECTOR_CERT_LIFETIME,
    onMaterial: (material) => server.use(material),
  });
  const admin = await startAdmin({
    clock: systemClock,
    port: config.MESH_ADMIN_PORT,
    registry,
    limits: pageLimits,
    ready: () => ({ ready: server.serving, reason: 'no certificate yet' }),
  });
  const stop = async (): Promise<void> => {
    keeper.stop();
    await Promise.all([server.close(), admin.close()]);
    client.close();
  };
  process.once('SIGTERM', () => void stop().then(() => process.exit(0)));
  await keeper.start();
  log.info('injector serves', { port: server.port });
}

main().catch((failure: unknown) => {
  process.stderr.write(`injector: ${describeError(failure)}\n`);
  process.exit(1);
});
