import { duration, oneOf, text } from '@mesh/config/environment';
import { logLevels } from '@mesh/telemetry/log';

/** Settings of the controllers of a local cluster. */
export const controllersConfig = {
  MESH_KUBECONFIG: text({
    doc: 'Kubeconfig file of the cluster to look after; its current context is used.',
  }),
  MESH_LOADBALANCER_CIDR: text({
    doc: 'IPv4 prefix of the addresses that Services of type LoadBalancer get; empty gives none.',
    default: '',
    pattern: /^$|^\d{1,3}(\.\d{1,3}){3}\/\d{1,2}$/,
  }),
  MESH_NODE_GRACE: duration({
    doc: 'Silence of a node after which it and its pods are marked not ready.',
    default: '40s',
    min: '1s',
    max: '1h',
  }),
  MESH_LOG_LEVEL: oneOf(logLevels, { doc: 'Least severe log lines to write.', default: 'info' }),
};
