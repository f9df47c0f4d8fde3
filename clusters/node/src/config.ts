import { duration, integer, oneOf, text } from '@mesh/config/environment';
import { logLevels } from '@mesh/telemetry/log';
import { parseCidr, parseIp } from '@mesh/kube/cidr';
import type { ConfigEntry } from '@mesh/config/environment';

function address(doc: string): ConfigEntry<string> {
  return {
    doc,
    kind: 'address',
    default: undefined,
    allowed: 'an IPv4 address',
    parse: (value) => (parseIp(value) === undefined ? undefined : value),
  };
}

function cidr(doc: string): ConfigEntry<string> {
  return {
    doc,
    kind: 'prefix',
    default: undefined,
    allowed: 'an IPv4 prefix without host bits, for example 10.1.0.0/16',
    parse: (value) => (parseCidr(value) === undefined ? undefined : value),
  };
}

/** Settings of the node agent; the world that starts it sets the required ones. */
export const nodeConfig = {
  MESH_NODE_NAME: text({ doc: 'Name of the Node object.', pattern: /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/ }),
  MESH_NODE_ADDRESS: address('Address of the node on its uplink.'),
  MESH_NODE_GATEWAY: address('Next hop of the node on its uplink.'),
  MESH_NODE_POD_CIDR: cidr('Prefix of the pod addresses.'),
  MESH_NODE_SERVICE_CIDR: cidr(
    'Prefix of the ClusterIPs; address 1 is the Kubernetes API, address 10 the DNS server.',
  ),
  MESH_NODE_GATEWAY_CIDR: cidr('Prefix of the LoadBalancer addresses.'),
  MESH_NODE_API_SOCKET: text({ doc: 'Unix socket on which the API server speaks TLS.' }),
  MESH_NODE_API_PORT: integer({
    doc: "Port of the Service kubernetes' endpoint: the node carries it to the API server, too.",
    default: 6443,
    min: 1,
    max: 65535,
  }),
  MESH_NODE_KUBECONFIG: text({
    doc: 'Kubeconfig of the node; its server is dialled through MESH_NODE_API_SOCKET.',
  }),
  MESH_NODE_SERVING_FILE: text({
    doc: 'PEM certificate and key with which the node answers the API server on port 10250 of its address.',
  }),
  MESH_NODE_CONTROL_SOCKET: text({
    doc: 'Unix socket the agent listens on for CONNECT (the API server reaches pods) and KILL (tests).',
  }),
  MESH_NODE_LOG_DIR: text({ doc: 'Directory of the container logs: NAMESPACE/POD/CONTAINER.log.' }),
  MESH_NODE_RUN_DIR: text({ doc: 'Existing directory over which the agent mounts its private tmpfs.' }),
  MESH_NODE_BUNDLE_DIR: text({ doc: 'Directory of the program bundles, seen as /opt/mesh in pods.' }),
  MESH_NODE_RESTART_BASE: duration({
    doc: 'Delay before the first restart of a failed container; doubles with each failure.',
    default: '1s',
    min: '10ms',
    max: '10m',
  }),
  MESH_NODE_RESTART_CAP: duration({
    doc: 'Longest delay between restarts of a container.',
    default: '5m',
    min: '10ms',
    max: '1h',
  }),
  MESH_NODE_LOG_BYTES: integer({
    doc: 'Size in bytes at which a container log is rotated; one older file is kept.',
    default: 10_485_760,
    min: 65_536,
    max: 1_073_741_824,
  }),
  MESH_LOG_LEVEL: oneOf(logLevels, { doc: 'Least level that is logged.', default: 'info' }),
};
