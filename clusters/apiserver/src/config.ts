import { integer, oneOf, text, type ConfigTable } from '@mesh/config/environment';
import { logLevels } from '@mesh/telemetry/log';

const range = /^\d{1,3}(\.\d{1,3}){3}\/\d{1,2}$/;

export const apiserverConfig = {
  MESH_CLUSTER: text({
    doc: 'Name of the cluster; names the context of the kubeconfigs.',
    pattern: /^[a-z]([-a-z0-9]{0,18}[a-z0-9])?$/,
  }),
  MESH_APISERVER_DIR: text({ doc: 'State directory: journal, keys, kubeconfigs. Made when missing.' }),
  MESH_APISERVER_BINARIES: text({
    doc: 'Directory of kube-apiserver and etcd, which then serve in place of the embedded server; empty for none.',
    default: '',
  }),
  MESH_APISERVER_ADDRESS: text({
    doc: 'Address to listen on and to name in the kubeconfigs.',
    default: '127.0.0.1',
  }),
  MESH_APISERVER_PORT: integer({
    doc: 'TCP port; 0 takes a free one, which the kubeconfigs then name.',
    default: 0,
    min: 0,
    max: 65535,
  }),
  MESH_APISERVER_SOCKET: text({
    doc: 'Unix socket that serves the same, for the relay of the pod network; empty for none.',
    default: '',
  }),
  MESH_APISERVER_NODE_ADDRESS: text({
    doc: 'Address at which pods reach this server: the endpoint of the Service default/kubernetes; empty for none.',
    default: '',
  }),
  MESH_APISERVER_NODE_PORT: integer({
    doc: 'Port at that address.',
    default: 6443,
    min: 1,
    max: 65535,
  }),
  MESH_APISERVER_WEBHOOK_SOCKET: text({
    doc: 'Unix socket of the node that connects to addresses inside the cluster, for webhooks and logs; empty dials directly.',
    default: '',
  }),
  MESH_NODE_NAME: text({ doc: 'Node that node.kubeconfig is for.', default: 'node' }),
  MESH_SERVICE_CIDR: text({ doc: 'IPv4 range of ClusterIPs.', default: '10.96.0.0/16', pattern: range }),
  MESH_LOG_LEVEL: oneOf(logLevels, { doc: 'Least severe log level that is written.', default: 'info' }),
} as const satisfies ConfigTable;
