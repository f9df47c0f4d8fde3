/**
 * The control plane of one cluster: identity, destination, injector. The objects come in an order that one pipe to
 * `kubectl apply` can take: definitions and namespaces first, the webhook last.
 */
import { linkDefinition } from '@mesh/multicluster/link';
import {
  clusterAccess,
  componentLabels,
  controlPlaneNamespace as namespace,
  deployment,
  env,
  identityTokenMount,
  identityTokenVolume,
  type KubernetesObject,
  namespaceAccess,
  service,
  serviceAccount,
} from './objects.ts';
import { workloadEnv } from './sidecar.ts';
import { type IssuerMaterial, storedValues, type Values } from './values.ts';

const controllerUid = 2103;
const adminPort = 9990;

export function controlPlane(values: Values, issuer: IssuerMaterial): KubernetesObject[] {
  return [
    linkDefinition,
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name: namespace,
        labels: { 'mesh.io/is-control-plane': 'true', 'app.kubernetes.io/part-of': 'mesh' },
        annotations: { 'mesh.io/inject': 'disabled' },
      },
    },
    configMap('mesh-config', { values: storedValues(values) }),
    configMap('mesh-trust-roots', { 'ca-bundle.crt': values.anchors }),
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'mesh-identity-issuer', namespace, labels: componentLabels('mesh-identity') },
      type: 'kubernetes.io/tls',
      stringData: { 'tls.crt': issuer.certificate, 'tls.key': issuer.key, 'ca.crt': values.anchors },
    },
    ...identity(values),
    ...destination(values),
    ...injector(values),
  ];
}

function configMap(name: string, data: Record<string, string>): KubernetesObject {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace, labels: componentLabels(name) },
    data,
  };
}

const identityToken = { volumes: [identityTokenVolume], volumeMounts: [identityTokenMount] };

function identity(values: Values): KubernetesObject[] {
  const name = 'mesh-identity';
  return [
    serviceAccount(namespace, name),
    ...clusterAccess(namespace, name, [
      { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
    ]),
    service(namespace, name, [
      { name: 'grpc', port: 8080 },
      { name: 'trust-bundle', port: 8081 },
    ]),
    deployment({
      namespace,
      name,
      program: 'identity',
      image: values.image,
      replicas: values.controllerReplicas,
      uid: controllerUid,
      env: env({
        MESH_CLUSTER: values.cluster,
        MESH_TRUST_DOMAIN: `${values.cluster}.${values.trustSuffix}`,
        MESH_LOG_LEVEL: values.logLevel,
      }),
      ports: [
        { name: 'grpc', containerPort: 8080 },
        { name: 'trust-bundle', containerPort: 8081 },
      ],
      adminPort,
      volumes: [{ name: 'issuer', secret: { secretName: 'mesh-identity-issuer' } }],
      volumeMounts: [{ name: 'issuer', mountPath: '/var/run/mesh/issuer', readOnly: true }],
    }),
  ];
}

function destination(values: Values): KubernetesObject[] {
  const name = 'mesh-destination';
  const watch = ['get', 'list', 'watch'];
  return [
    serviceAccount(namespace, name),
    ...clusterAccess(namespace, name, [
      { apiGroups: [''], resources: ['services', 'pods', 'namespaces', 'nodes'], verbs: watch },
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: watch },
      { apiGroups: ['multicluster.mesh.io'], resources: ['links'], verbs: watch },
    ]),
    service(namespace, name, [
      { name: 'grpc', port: 8086 },
      { name: 'policy', port: 8090 },
    ]),
    deployment({
      namespace,
      name,
      program: 'destination',
      image: values.image,
      replicas: values.controllerReplicas,
      uid: controllerUid,
      env: [
        ...workloadEnv(values),
        ...env({
          MESH_CLUSTER_DOMAIN: values.clusterDomain,
          MESH_OPAQUE_PORTS: values.opaquePorts.join(','),
          MESH_INBOUND_DEFAULT_POLICY: values.inboundPolicy,
          MESH_MIRROR_ADDR: `mesh-mirror.mesh-multicluster.svc.${values.clusterDomain}:8087`,
        }),
      ],
      ports: [
        { name: 'grpc', containerPort: 8086 },
        { name: 'policy', containerPort: 8090 },
      ],
      adminPort,
      ...identityToken,
    }),
  ];
}

function injector(values: Values): KubernetesObject[] {
  const name = 'mesh-injector';
  return [
    serviceAccount(namespace, name),
    ...clusterAccess(namespace, name, [
      { apiGroups: [''], resources: ['namespaces'], verbs: ['get'] },
      {
        apiGroups: ['admissionregistration.k8s.io'],
        resources: ['mutatingwebhookconfigurations'],
        verbs: ['get', 'patch'],
        resourceNames: [name],
      },
    ]),
    ...namespaceAccess(namespace, name, [
      { apiGroups: [''], resources: ['secrets'], verbs: ['create'] },
      {
        apiGroups: [''],
        resources: ['secrets'],
        verbs: ['get', 'update'],
        resourceNames: ['mesh-injector-tls'],
      },
    ]),
    service(namespace, name, [{ name: 'https', port: 443, targetPort: 8443 }]),
    deployment({
      namespace,
      name,
      program: 'injector',
      image: values.image,
      replicas: values.controllerReplicas,
      uid: controllerUid,
      env: env({ MESH_LOG_LEVEL: values.logLevel }),
      ports: [{ name: 'https', containerPort: 8443 }],
      adminPort,
      volumes: [{ name: 'config', configMap: { name: 'mesh-config' } }],
      volumeMounts: [{ name: 'config', mountPath: '/var/run/mesh/config', readOnly: true }],
    }),
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: { name, labels: componentLabels(name) },
      webhooks: [
        {
          name: 'injector.mesh.io',
          // The injector writes the CA of the certificate it serves here itself, and renews both.
          clientConfig: { service: { namespace, name, path: '/inject', port: 443 } },
          rules: [
            {
              apiGroups: [''],
              apiVersions: ['v1'],
              operations: ['CREATE'],
              resources: ['pods'],
              scope: 'Namespaced',
            },
          ],
          namespaceSelector: {
            matchExpressions: [
              { key: 'mesh.io/is-control-plane', operator: 'DoesNotExist' },
              { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['kube-system'] },
            ],
          },
          objectSelector: { matchExpressions: [{ key: 'mesh.io/component', operator: 'DoesNotExist' }] },
          failurePolicy: 'Ignore',
          reinvocationPolicy: 'Never',
          sideEffects: 'None',
          timeoutSeconds: 10,
          admissionReviewVersions: ['v1'],
        },
      ],
    },
  ];
}
