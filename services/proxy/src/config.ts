/** Settings of the sidecar. */
import { parseHostPort } from '@mesh/control-api/convert';
import {
  type Config,
  type ConfigEntry,
  duration,
  integer,
  list,
  oneOf,
  text,
} from '@mesh/config/environment';
import type { HostPort } from '@mesh/control-api/convert';
import { logLevels } from '@mesh/telemetry/log';
import { portRange } from './port-config.ts';

function hostPort(doc: string, fallback?: string): ConfigEntry<HostPort> {
  return {
    doc,
    kind: 'address',
    default: fallback,
    allowed: 'host:port',
    parse: (value) => parseHostPort(value),
  };
}

const port = (doc: string, fallback: number): ConfigEntry<number> =>
  integer({ doc, default: fallback, min: 0, max: 65_535 });

const dnsLabel = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** Who may call when nothing more specific is said. */
export const inboundPolicies = [
  'all-unauthenticated',
  'all-authenticated',
  'cluster-authenticated',
  'deny',
] as const;
export type InboundPolicy = (typeof inboundPolicies)[number];

export const proxyConfig = {
  MESH_CLUSTER: text({ doc: 'Name of this cluster.', pattern: /^[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?$/ }),
  MESH_TRUST_DOMAIN: text({
    doc: 'Trust domain of this cluster: its name and the common suffix, such as east.mesh.local.',
    pattern: /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$/,
  }),
  MESH_TRUST_ANCHORS: text({
    doc: 'Trust anchors, PEM text.',
    pattern: /-----BEGIN CERTIFICATE-----/,
  }),
  MESH_IDENTITY_ADDR: hostPort('Identity service.'),
  MESH_DESTINATION_ADDR: hostPort('Destination service.'),
  MESH_POLICY_ADDR: hostPort('Policy service.', 'mesh-destination.mesh.svc.cluster.local:8090'),
  MESH_TOKEN_FILE: text({
    doc: 'ServiceAccount token for the identity service; read for each certificate.',
    default: '/var/run/secrets/mesh/token',
  }),
  MESH_SERVICE_ACCOUNT: text({ doc: 'ServiceAccount of the pod.', pattern: dnsLabel, default: 'default' }),
  MESH_NAMESPACE: text({ doc: 'Namespace of the pod.', pattern: dnsLabel }),
  MESH_POD_NAME: text({ doc: 'Name of the pod.', default: '' }),
  MESH_POD_IP: text({ doc: 'Address of the pod.', default: '' }),
  MESH_NODE_NAME: text({ doc: 'Node of the pod.', default: '' }),
  MESH_OPAQUE_PORTS: list(portRange, {
    doc: 'Ports of the pod, and of destinations nobody knows, whose bytes are not parsed (the server may speak first).',
    default: '25,587,3306,4444,5432,6379,9300,11211',
  }),
  MESH_INBOUND_DEFAULT_POLICY: oneOf(inboundPolicies, {
    doc: 'Who may call: everybody, any mesh identity, mesh identities of this cluster, or nobody.',
    default: 'all-unauthenticated',
  }),
  MESH_LOG_LEVEL: oneOf(logLevels as readonly ['debug', 'info', 'warn', 'error'], {
    doc: 'Least severe log line that is written.',
    default: 'info',
  }),
  MESH_OUTBOUND_PORT: port('Where the application is redirected to, on loopback.', 4140),
  MESH_INBOUND_PORT: port('Where clients are redirected to.', 4143),
  MESH_ADMIN_PORT: port('Page for /live, /ready and /metrics.', 4191),
  MESH_DETECT_TIMEOUT: duration({
    doc: 'How long the first bytes of a client are awaited before the connection is passed on unparsed.',
    default: '10s',
    min: '10ms',
    max: '60s',
  }),
  MESH_PROFILE_TIMEOUT: duration({
    doc: 'How long a new destination is asked about before the connection goes straight to where it was going.',
    default: '3s',
    min: '10ms',
    max: '60s',
  }),
  MESH_DISCOVERY_IDLE: duration({
    doc: 'How long a destination that nobody uses is still watched.',
    default: '60s',
    min: '1s',
    max: '24h',
  }),
  MESH_SHUTDOWN_GRACE: duration({
    doc: 'How long connections may take to end after SIGTERM.',
    default: '25s',
    min: '0s',
    max: '1h',
  }),
};

export type ProxyConfig = Config<typeof proxyConfig>;
