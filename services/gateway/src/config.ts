import { duration, integer, text } from '@mesh/config/environment';
import { forwardingConfig } from '@mesh/dataplane/forwarding-config';
import { workloadConfig } from '@mesh/dataplane/workload';

/** Settings of the gateway. */
export const gatewayConfig = {
  ...workloadConfig,
  ...forwardingConfig,
  MESH_CLUSTER_DOMAIN: text({ doc: 'DNS domain of the cluster.', default: 'cluster.local' }),
  MESH_GATEWAY_PORT: integer({ doc: 'Port that other clusters call.', default: 4143, min: 0, max: 65_535 }),
  MESH_ADMIN_PORT: integer({
    doc: 'Port of /ready, /live and /metrics.',
    default: 4191,
    min: 0,
    max: 65_535,
  }),
  MESH_WORKERS: integer({
    doc: 'Processes that serve peers; 0 for one per whole processor of the container, at most 8.',
    default: 0,
    min: 0,
    max: 64,
  }),
  MESH_GATEWAY_CONNECTION_MAX_AGE: duration({
    doc: 'Peers are asked to connect anew after this time, or up to a tenth sooner, so that not all come at once.',
    default: '1h',
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
