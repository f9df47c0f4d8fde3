/** The whole mirror controller: what is exported, the federation API, a session per Link, and the admin page. */
import { randomBytes } from 'node:crypto';
import { resolve4 } from 'node:dns/promises';
import type { Clock, Random } from '@mesh/clock/clock';
import type { Config } from '@mesh/config/environment';
import { controlLimits } from '@mesh/dataplane/control-server';
import type { Workload } from '@mesh/dataplane/workload';
import { connectHttp2 } from '@mesh/http2/client';
import type { KubeClient } from '@mesh/kube/client';
import { EventRecorder } from '@mesh/kube/event-recorder';
import { Informer } from '@mesh/kube/informer';
import { endpointSlices, namespaces, pods, type ResourceType, services } from '@mesh/kube/resources';
import type { EndpointSlice, KubeObject, Service } from '@mesh/kube/types';
import { multiclusterNamespace } from '@mesh/multicluster/link';
import { adminLedgers, startAdmin } from '@mesh/dataplane/admin-server';
import { limitMetrics } from '@mesh/telemetry/limit-metrics';
import { dialTls } from '@mesh/trust/dial';
import { gatewayIdentity } from '@mesh/trust/names';
import type { mirrorConfig } from './config.ts';
import { ExportTable, sliceServiceIndex } from './export-table.ts';
import { federationPort } from './federation-port.ts';
import { federationService } from './federation-server.ts';
import { importIndex } from './importer.ts';
import { LinkController } from './link-controller.ts';
import { links as linksType } from '@mesh/multicluster/link-resource';

const stopGraceMs = 2000;

interface StartOptions {
  config: Config<typeof mirrorConfig>;
  workload: Workload;
  client: KubeClient;
  clock: Clock;
  random: Random;
}

export interface RunningMirror {
  /** Where the gateway reaches the federation API. */
  readonly federationPort: number;
  readonly adminPort: number;
  stop(): Promise<void>;
}

/** Resolves once the cluster is known and the federation API is served. */
export async function startMirror({
  config,
  workload,
  client,
  clock,
  random,
}: StartOptions): Promise<RunningMirror> {
  const { cluster, suffix, log, registry, credentials, identityClient } = workload;
  const follow = <T extends KubeObject>(
    type: ResourceType<T>,
    extra: Pick<ConstructorParameters<typeof Informer<T>>[0], 'namespace' | 'indexers'> = {},
  ): Informer<T> =>
    new Informer<T>({
      client,
      type,
      clock,
      random,
      onError: (error) => log.warn('watch failed', { type: type.plural, error: String(error) }),
      ...extra,
    });
  const serviceInformer = follow<Service>(services, {
    indexers: { source: importIndex.source, cluster: importIndex.cluster },
  });
  const sliceInformer = follow<EndpointSlice>(endpointSlices, {
    indexers: {
      source: importIndex.source,
      cluster: importIndex.cluster,
      service: sliceServiceIndex.service,
    },
  });
  const namespaceInformer = follow(namespaces);
  const podInformer = follow(pods);
  const linkInformer = follow(linksType, { namespace: multiclusterNamespace });
  const informers = [serviceInformer, sliceInformer, namespaceInformer, podInformer, linkInformer];
  for (const informer of informers) informer.start();

  const events = new EventRecorder({
    client,
    clock,
    random,
    component: 'mesh-mirror',
    onError: (error) => log.warn('event was not written', { error: String(error) }),
  });
  const exports = new ExportTable({
    cluster,
    suffix,
    services: serviceInformer,
    namespaces: namespaceInformer,
    slices: sliceInformer,
    pods: podInformer,
    onInvalid: (service, { reason, message }) => {
      const { namespace, name } = service.metadata;
      log.warn('what a service asks for is not known', { service: `${namespace}/${name}`, detail: message });
      events.record(services, service, { type: 'Warning', reason, message });
    },
  });
  const controller = new LinkController({
    client,
    clock,
    random,
    log,
    registry,
    cluster,
    suffix,
    links: linkInformer,
    services: serviceInformer,
    slices: sliceInformer,
    namespaces: namespaceInformer,
    maxExports: config.MESH_MIRROR_MAX_EXPORTS,
    maxAgeMs: config.MESH_MIRROR_MAX_AGE,
    resolve: (host) => resolve4(host),
    connect: async (link, host, port) => {
      const socket = await dialTls({
        host,
        port,
        identity: gatewayIdentity(link.cluster, suffix),
        alpn: ['h2'],
        credentials,
        clock,
        timeoutMs: config.MESH_CONNECT_TIMEOUT,
        suffix,
      });
      return connectHttp2(socket, { clock, limits: workload.http2Limits });
    },
  });
  const federation = federationService({
    cluster,
    suffix,
    exports,
    clock,
    epoch: randomBytes(8).readBigUInt64LE(),
    link: (peer) => controller.spec(peer),
    onLinkChange: (listener) => controller.onLinkChange(listener),
    subscribers: registry.gauge('mesh_federation_subscribers', 'Peers that follow our exports now.').with(),
  });
  const limits = controlLimits();
  const pageLimits = adminLedgers();
  limitMetrics(registry, [
    ...Object.values(limits),
    workload.http2Limits,
    client.limits,
    ...Object.values(pageLimits),
  ]);
  const server = federationPort(federation, { config, workload, clock, limits });
  const exported = registry.gauge('mesh_exported_services', 'Services that peers may see.').with();
  registry.onCollect(() => exported.set(exports.size));

  let serving = false;
  const admin = await startAdmin({
    clock,
    port: config.MESH_ADMIN_PORT,
    registry,
    limits: pageLimits,
    ready: () => {
      const missing = informers.filter(({ hasSynced }) => !hasSynced).map(({ type }) => type.plural);
      if (missing.length > 0) return { ready: false, reason: `not listed yet: ${missing.join(', ')}` };
      if (credentials.current === undefined) return { ready: false, reason: identityClient.fault };
      return { ready: serving, reason: 'starting' };
    },
  });
  // A snapshot of half a cluster would look like exports that were withdrawn.
  await Promise.all(informers.map(({ synced }) => synced));
  exports.start();
  controller.start();
  await server.start();
  serving = true;
  log.info('mirror controller serves', { cluster, federationPort: server.port });
  return {
    federationPort: server.port,
    adminPort: admin.port,
    async stop() {
      serving = false;
      await Promise.all([controller.stop(), server.stop(stopGraceMs)]);
      identityClient.stop();
      await Promise.all([...informers.map((informer) => informer.stop()), admin.close()]);
      await events.flush();
    },
  };
}
