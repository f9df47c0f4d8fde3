import { systemClock as clock, systemRandom as random } from '@mesh/clock/system';
import { readConfig } from '@mesh/config/environment';
import { ControlServer, controlLimits, controlMetrics } from '@mesh/dataplane/control-server';
import { createWorkload } from '@mesh/dataplane/workload';
import { describeError } from '@mesh/errors/mesh-error';
import { KubeClient } from '@mesh/kube/client';
import { inCluster } from '@mesh/kube/config';
import { adminLedgers, startAdmin } from '@mesh/dataplane/admin-server';
import { limitMetrics } from '@mesh/telemetry/limit-metrics';
import { destinationConfig } from './config.ts';
import { InformedObjects } from './informed-objects.ts';
import { Notifier } from './notifier.ts';
import { allServices } from './all-services.ts';
import type { Settings } from './settings.ts';
import { TargetRegistry } from './target-registry.ts';

/** For calls in flight; the streams of proxies never end by themselves. */
const stopGraceMs = 250;

async function main(): Promise<void> {
  const config = readConfig(destinationConfig, process.env);
  const workload = createWorkload({
    config,
    clock,
    random,
    program: 'destination',
    version: '0.1.0',
    write: (line) => process.stdout.write(line),
  });
  const { cluster, suffix, log, registry, credentials, identityClient } = workload;
  identityClient.start();
  const settings: Settings = {
    cluster,
    trustSuffix: suffix,
    clusterDomain: config.MESH_CLUSTER_DOMAIN,
    opaquePorts: config.MESH_OPAQUE_PORTS,
    inboundPolicy: config.MESH_INBOUND_DEFAULT_POLICY,
    mirrorAddress: config.MESH_MIRROR_ADDR,
  };

  const client = new KubeClient({ ...inCluster(), clock });
  const notifier = new Notifier({ clock, delayMs: config.MESH_UPDATE_DELAY });
  const objects = new InformedObjects({ client, clock, random, notifier, log });
  objects.start();
  const targets = new TargetRegistry({ objects, notifier, settings });
  const services = allServices({
    objects,
    notifier,
    registry: targets,
    settings,
    linksKnown: () => objects.links.hasSynced,
  });
  const metrics = controlMetrics(registry);
  const limits = controlLimits();
  const serverAt = (port: number, which: typeof services.discovery): ControlServer =>
    new ControlServer({
      port,
      services: which,
      cluster,
      trustSuffix: suffix,
      credentials,
      clock,
      log,
      metrics,
      limits,
      maxAgeMs: config.MESH_CONNECTION_MAX_AGE,
    });
  const servers = [
    serverAt(config.MESH_DESTINATION_PORT, services.discovery),
    serverAt(config.MESH_POLICY_PORT, services.policy),
  ];

  const pageLimits = adminLedgers();
  limitMetrics(registry, [
    ...Object.values(limits),
    workload.http2Limits,
    client.limits,
    ...Object.values(pageLimits),
  ]);
  const watched = registry.gauge('mesh_destination_targets', 'Targets that proxies watch now.').with();
  const age = registry
    .gauge('mesh_kube_state_age_seconds', 'Age of the least current copy of the API server’s state.')
    .with();
  registry.onCollect(() => {
    watched.set(targets.size);
    age.set(objects.ageMs / 1000);
  });
  let serving = false;
  const admin = await startAdmin({
    clock,
    port: config.MESH_ADMIN_PORT,
    registry,
    limits: pageLimits,
    ready: () => {
      const { missing } = objects;
      if (missing.length > 0) return { ready: false, reason: `not listed yet: ${missing.join(', ')}` };
      if (credentials.current === undefined) return { ready: false, reason: identityClient.fault };
      return { ready: serving, reason: 'starting' };
    },
  });
  const stop = async (): Promise<void> => {
    serving = false;
    await Promise.all(servers.map((server) => server.stop(stopGraceMs)));
    identityClient.stop();
    notifier.stop();
    await Promise.all([objects.stop(), admin.close()]);
    client.close();
  };
  process.once('SIGTERM', () => void stop().then(() => process.exit(0)));
  process.once('SIGINT', () => void stop().then(() => process.exit(0)));

  // An answer from half a picture would look like services that are gone.
  await objects.synced();
  await Promise.all(servers.map((server) => server.start()));
  serving = true;
  log.info('destination serves', {
    cluster,
    destinationPort: config.MESH_DESTINATION_PORT,
    policyPort: config.MESH_POLICY_PORT,
  });
}

main().catch((failure: unknown) => {
  process.stderr.write(`destination: ${describeError(failure)}\n`);
  process.exit(1);
});
