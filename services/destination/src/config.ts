import { duration, integer, oneOf, text } from '@mesh/config/environment';
import { workloadConfig } from '@mesh/dataplane/workload';
import { inboundPolicyNames } from './inbound-policy.ts';

const port = (doc: string, fallback: number) => integer({ doc, default: fallback, min: 0, max: 65_535 });

/** Settings of destination. */
export const destinationConfig = {
  ...workloadConfig,
  MESH_CLUSTER_DOMAIN: text({ doc: 'DNS domain of the cluster.', default: 'cluster.local' }),
  MESH_SERVICE_ACCOUNT: text({ doc: 'ServiceAccount of this pod.', default: 'mesh-destination' }),
  MESH_NAMESPACE: text({ doc: 'Namespace of this pod.', default: 'mesh' }),
  MESH_DESTINATION_PORT: port('Port of discovery, profiles and the gateway table.', 8086),
  MESH_POLICY_PORT: port('Port of inbound and outbound policies.', 8090),
  MESH_ADMIN_PORT: port('Port of /ready, /live and /metrics.', 9990),
  MESH_OPAQUE_PORTS: text({
    doc: 'Ports that are opaque unless an annotation says otherwise: numbers and ranges, comma-separated.',
    default: '25,587,3306,4444,5432,6379,9300,11211',
    pattern: /^(\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*)?$/,
  }),
  MESH_INBOUND_DEFAULT_POLICY: oneOf(inboundPolicyNames, {
    doc: 'Who may call a pod when neither it nor its namespace says so.',
    default: 'all-unauthenticated',
  }),
  MESH_MIRROR_ADDR: text({
    doc: 'host:port of the mirror controller, to which the gateway relays peers.',
    default: 'mesh-mirror.mesh-multicluster.svc.cluster.local:8087',
  }),
  MESH_UPDATE_DELAY: duration({
    doc: 'Changes within this time are told in one update.',
    default: '20ms',
    min: '0ms',
    max: '5s',
  }),
  MESH_CONNECTION_MAX_AGE: duration({
    doc: 'Clients are asked to reconnect after this time, so that load spreads over replicas, or up to a tenth sooner, so that not all come at once.',
    default: '1h',
    min: '10s',
    max: '24h',
  }),
};
