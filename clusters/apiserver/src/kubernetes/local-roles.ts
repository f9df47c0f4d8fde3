/**
 * What the programs of a local cluster may do beyond what Kubernetes grants the users they are. One node agent does the
 * work of a kubelet, of kube-proxy and of the DNS server, and follows volumes' sources by watching them all; one
 * controller program does the work of controllers that have a ServiceAccount each in a controller manager.
 */
import type { JsonObject } from '../json.ts';

const group = 'rbac.authorization.k8s.io';
const metadata = (name: string): JsonObject => ({ name });
const follow = ['get', 'list', 'watch'];

export const localRoles: readonly { plural: string; object: JsonObject }[] = [
  {
    plural: 'clusterroles',
    object: {
      apiVersion: `${group}/v1`,
      kind: 'ClusterRole',
      metadata: metadata('mesh:local-node'),
      rules: [
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: follow },
        { apiGroups: [''], resources: ['configmaps', 'secrets'], verbs: follow },
      ],
    },
  },
  {
    plural: 'clusterrolebindings',
    object: {
      apiVersion: `${group}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: metadata('mesh:local-node'),
      roleRef: { apiGroup: group, kind: 'ClusterRole', name: 'mesh:local-node' },
      subjects: [{ apiGroup: group, kind: 'Group', name: 'system:nodes' }],
    },
  },
  {
    plural: 'clusterrolebindings',
    object: {
      apiVersion: `${group}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: metadata('mesh:local-controllers'),
      roleRef: { apiGroup: group, kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ apiGroup: group, kind: 'User', name: 'system:kube-controller-manager' }],
    },
  },
];
