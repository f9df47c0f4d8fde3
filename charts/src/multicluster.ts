/**
 * The multi-cluster extension: one gateway, one mirror controller. The gateway holds no Kubernetes token; the mirror
 * controller writes only what mirroring owns.
 */
import { multiclusterNamespace as namespace } from '@mesh/multicluster/link';
import {
  clusterAccess,
  deployment,
  env,
  identityTokenMount,
  identityTokenVolume,
  type KubernetesObject,
  lastGoodMount,
  lastGoodVolume,
  namespaceAccess,
  service,
  serviceAccount,
} from './objects.ts';
import { dataPlaneEnvironment } from './program-command.ts';
import { workloadEnv } from './sidecar.ts';
import type { Values } from './values.ts';

export function multicluster(values: Values): KubernetesObject[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name: namespace,
        labels: {
          'mesh.io/extension': 'multicluster',
          'mesh.io/is-control-plane': 'true',
          'app.kubernetes.io/part-of': 'mesh',
        },
        annotations: { 'mesh.io/inject': 'disabled' },
      },
    },
    ...gateway(values),
    ...mirror(values),
  ];
}

const identityToken = { volumes: [identityTokenVolume], volumeMounts: [identityTokenMount] };

function gateway(values: Values): KubernetesObject[] {
  const name = 'mesh-gateway';
  const account = serviceAccount(namespace, name);
  const pod = deployment({
    namespace,
    name,
    program: 'gateway',
    image: values.image,
    replicas: values.gatewayReplicas,
    uid: 2102,
    env: [
      ...workloadEnv(values),
      ...env({ ...dataPlaneEnvironment, MESH_LAST_GOOD_DIR: lastGoodMount.mountPath }),
    ],
    ports: [{ name: 'mc-gateway', containerPort: 4143 }],
    adminPort: 4191,
    graceSeconds: 60,
    volumes: [identityTokenVolume, lastGoodVolume],
    volumeMounts: [identityTokenMount, lastGoodMount],
  });
  return [
    { ...account, automountServiceAccountToken: false },
    service(
      namespace,
      name,
      // Only the port that demands a certificate faces other clusters; links are probed through it.
      [{ name: 'mc-gateway', port: 4143 }],
      'LoadBalancer',
    ),
    pod,
  ];
}

function mirror(values: Values): KubernetesObject[] {
  const name = 'mesh-mirror';
  const write = ['get', 'list', 'watch', 'create', 'patch', 'delete'];
  const watch = ['get', 'list', 'watch'];
  return [
    serviceAccount(namespace, name),
    ...clusterAccess(namespace, name, [
      { apiGroups: [''], resources: ['services'], verbs: write },
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: write },
      { apiGroups: [''], resources: ['namespaces', 'pods'], verbs: watch },
      { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
    ]),
    ...namespaceAccess(namespace, name, [
      { apiGroups: ['multicluster.mesh.io'], resources: ['links'], verbs: [...watch, 'patch'] },
      { apiGroups: ['multicluster.mesh.io'], resources: ['links/status'], verbs: ['patch'] },
    ]),
    service(namespace, name, [{ name: 'federation', port: 8087 }]),
    deployment({
      namespace,
      name,
      program: 'mirror',
      image: values.image,
      replicas: 1,
      uid: 2103,
      env: workloadEnv(values),
      ports: [{ name: 'federation', containerPort: 8087 }],
      adminPort: 9990,
      ...identityToken,
    }),
  ];
}
