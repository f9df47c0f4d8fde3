/**
 * What every program with a workload identity starts with: its settings, log, metrics and certificate. The settings are
 * the ones that the charts give to all of them alike; a program adds its own to the table.
 */
import type { Clock, Random } from '@mesh/clock/clock';
import { type Config, type ConfigEntry, oneOf, text } from '@mesh/config/environment';
import { type HostPort, parseHostPort } from '@mesh/control-api/convert';
import { MeshError } from '@mesh/errors/mesh-error';
import { http2Limits } from '@mesh/http2/limits';
import { LimitLedger } from '@mesh/limits/limits';
import { createLogger, type Logger, logLevels } from '@mesh/telemetry/log';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { CredentialStore } from '@mesh/trust/credentials';
import { controlPlaneIdentity, identityName } from '@mesh/trust/names';
import { IdentityClient } from './identity-client.ts';
import type { PeerEnvironment } from './peer.ts';
import { processMetrics } from './process-metrics.ts';

function hostPort(doc: string, fallback: string): ConfigEntry<HostPort> {
  return {
    doc,
    kind: 'address',
    default: fallback,
    allowed: 'host:port',
    parse: (value) => parseHostPort(value),
  };
}

const dnsLabel = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

export const workloadConfig = {
  MESH_CLUSTER: text({ doc: 'Name of this cluster.', pattern: /^[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?$/ }),
  MESH_TRUST_DOMAIN: text({
    doc: 'Trust domain of this cluster: its name, a dot and the suffix that all clusters share.',
    pattern: /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$/,
  }),
  MESH_TRUST_ANCHORS: text({
    doc: 'Trust anchors to begin with, PEM text; the identity service tells their changes.',
    pattern: /-----BEGIN CERTIFICATE-----/,
  }),
  MESH_IDENTITY_ADDR: hostPort('Identity service.', 'mesh-identity.mesh.svc.cluster.local:8080'),
  MESH_TRUST_BUNDLE_ADDR: hostPort(
    'Where the identity service tells changes of the trust anchors.',
    'mesh-identity.mesh.svc.cluster.local:8081',
  ),
  MESH_DESTINATION_ADDR: hostPort('Destination service.', 'mesh-destination.mesh.svc.cluster.local:8086'),
  MESH_POLICY_ADDR: hostPort('Policy service.', 'mesh-destination.mesh.svc.cluster.local:8090'),
  MESH_TOKEN_FILE: text({
    doc: 'ServiceAccount token for the identity service; read for each certificate.',
    default: '/var/run/secrets/mesh/token',
  }),
  MESH_SERVICE_ACCOUNT: text({ doc: 'ServiceAccount of the pod.', pattern: dnsLabel }),
  MESH_NAMESPACE: text({ doc: 'Namespace of the pod.', pattern: dnsLabel }),
  MESH_POD_NAME: text({ doc: 'Name of the pod.', default: '' }),
  MESH_POD_IP: text({ doc: 'Address of the pod.', default: '' }),
  MESH_NODE_NAME: text({ doc: 'Node of the pod.', default: '' }),
  MESH_LOG_LEVEL: oneOf(logLevels, { doc: 'Least severe log line that is written.', default: 'info' }),
};

export interface Workload {
  cluster: string;
  /** Suffix of all trust domains. */
  suffix: string;
  identity: string;
  log: Logger;
  registry: MetricRegistry;
  credentials: CredentialStore;
  identityClient: IdentityClient;
  http2Limits: PeerEnvironment['http2Limits'];
}

interface WorkloadOptions {
  config: Config<typeof workloadConfig>;
  clock: Clock;
  random: Random;
  /** For logs and metrics. */
  program: string;
  version: string;
  write: (line: string) => void;
}

/** @throws MeshError config-invalid */
export function createWorkload({
  config,
  clock,
  random,
  program,
  version,
  write,
}: WorkloadOptions): Workload {
  const cluster = config.MESH_CLUSTER;
  const suffix = trustSuffix(cluster, config.MESH_TRUST_DOMAIN);
  const log = createLogger({ clock, level: config.MESH_LOG_LEVEL, write });
  const registry = new MetricRegistry();
  processMetrics(registry, { clock, facts: { version, cluster, program } });
  const credentials = new CredentialStore();
  const limits = new LimitLedger(http2Limits);
  const identity = identityName({
    serviceAccount: config.MESH_SERVICE_ACCOUNT,
    namespace: config.MESH_NAMESPACE,
    cluster,
    suffix,
  });
  const identityClient = new IdentityClient({
    clock,
    random,
    log,
    registry,
    http2Limits: limits,
    store: credentials,
    address: config.MESH_IDENTITY_ADDR,
    bundleAddress: config.MESH_TRUST_BUNDLE_ADDR,
    serverIdentity: controlPlaneIdentity('mesh-identity', cluster, suffix),
    identity,
    tokenFile: config.MESH_TOKEN_FILE,
    anchors: config.MESH_TRUST_ANCHORS,
    suffix,
  });
  return { cluster, suffix, identity, log, registry, credentials, identityClient, http2Limits: limits };
}

/** @throws MeshError config-invalid */
export function trustSuffix(cluster: string, trustDomain: string): string {
  if (trustDomain.startsWith(`${cluster}.`)) return trustDomain.slice(cluster.length + 1);
  throw new MeshError(
    'config-invalid',
    `MESH_TRUST_DOMAIN=${trustDomain} does not start with "${cluster}."`,
    {
      remedy: 'The trust domain of a cluster is its name, a dot and the suffix that all clusters share.',
    },
  );
}
