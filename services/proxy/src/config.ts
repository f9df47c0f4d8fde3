/** Settings of the sidecar. */
import { type Config, type ConfigEntry, duration, integer, list, oneOf } from '@mesh/config/environment';
import { forwardingConfig } from '@mesh/dataplane/forwarding-config';
import { workloadConfig } from '@mesh/dataplane/workload';
import { portRange } from './port-config.ts';

const port = (doc: string, fallback: number): ConfigEntry<number> =>
  integer({ doc, default: fallback, min: 0, max: 65_535 });

/** Who may call when nothing more specific is said. */
const inboundPolicies = [
  'all-unauthenticated',
  'all-authenticated',
  'cluster-authenticated',
  'deny',
] as const;
export type InboundPolicy = (typeof inboundPolicies)[number];

export const proxyConfig = {
  ...workloadConfig,
  ...forwardingConfig,
  MESH_OPAQUE_PORTS: list(portRange, {
    doc: 'Ports of the pod, and of destinations nobody knows, whose bytes are not parsed (the server may speak first).',
    default: '25,587,3306,4444,5432,6379,9300,11211',
  }),
  MESH_INBOUND_PORTS: list(integer({ doc: '', min: 1, max: 65_535 }), {
    doc: 'Ports of the pod whose policy is followed from the start; others from their first connection on.',
    default: '',
  }),
  MESH_INBOUND_DEFAULT_POLICY: oneOf(inboundPolicies, {
    doc: 'Who may call until the policy service said it: everybody, any mesh identity, those of this cluster, or nobody.',
    default: 'all-unauthenticated',
  }),
  MESH_OUTBOUND_PORT: port('Where the application is redirected to, on loopback.', 4140),
  MESH_INBOUND_PORT: port('Where clients are redirected to.', 4143),
  MESH_ADMIN_PORT: port('Page for /live, /ready and /metrics.', 4191),
  MESH_SHUTDOWN_ENDPOINT: oneOf(['disabled', 'enabled'], {
    doc: 'Whether POST /shutdown from inside the pod ends the sidecar. Whatever runs in the pod can ask for it then.',
    default: 'disabled',
  }),
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
