/** Shorthand for the objects that the charts render; plain data, applied or printed by the caller. */
import { programCommand } from './program-command.ts';

export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  [field: string]: unknown;
}

export interface EnvVar {
  name: string;
  value?: string;
  valueFrom?: unknown;
}

export const controlPlaneNamespace = 'mesh';

export function env(values: Readonly<Record<string, string>>): EnvVar[] {
  return Object.entries(values).map(([name, value]) => ({ name, value }));
}

export const fieldEnv = (name: string, fieldPath: string): EnvVar => ({
  name,
  valueFrom: { fieldRef: { fieldPath } },
});

export function serviceAccount(namespace: string, name: string): KubernetesObject {
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name, namespace, labels: componentLabels(name) },
  };
}

export function componentLabels(component: string): Record<string, string> {
  return { 'app.kubernetes.io/part-of': 'mesh', 'mesh.io/component': component };
}

export interface Rule {
  apiGroups: string[];
  resources: string[];
  verbs: string[];
  resourceNames?: string[];
}

/** A ClusterRole bound to one ServiceAccount. */
export function clusterAccess(namespace: string, account: string, rules: Rule[]): KubernetesObject[] {
  const metadata = { name: account, labels: componentLabels(account) };
  return [
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata, rules },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: account },
      subjects: [{ kind: 'ServiceAccount', name: account, namespace }],
    },
  ];
}

/** A Role in the account's own namespace, bound to it. */
export function namespaceAccess(namespace: string, account: string, rules: Rule[]): KubernetesObject[] {
  const metadata = { name: account, namespace, labels: componentLabels(account) };
  return [
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata, rules },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: account },
      subjects: [{ kind: 'ServiceAccount', name: account, namespace }],
    },
  ];
}

export interface ServicePort {
  name: string;
  port: number;
  targetPort?: number | string;
}

export function service(
  namespace: string,
  name: string,
  ports: ServicePort[],
  type: 'ClusterIP' | 'LoadBalancer' = 'ClusterIP',
): KubernetesObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace, labels: componentLabels(name) },
    spec: { type, selector: { 'mesh.io/component': name }, ports },
  };
}

interface Program {
  namespace: string;
  name: string;
  /** Bundle under /opt/mesh. */
  program: string;
  image: string;
  replicas: number;
  uid: number;
  env: EnvVar[];
  ports: { name: string; containerPort: number }[];
  adminPort: number;
  volumes?: unknown[];
  volumeMounts?: unknown[];
  /** Seconds that a pod may take to finish its streams. */
  graceSeconds?: number;
}

/** A Deployment of one of our programs: one container, no rights, ready and live by its admin port. */
export function deployment(program: Program): KubernetesObject {
  const labels = componentLabels(program.name);
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: program.name, namespace: program.namespace, labels },
    spec: {
      replicas: program.replicas,
      selector: { matchLabels: { 'mesh.io/component': program.name } },
      template: {
        metadata: { labels, annotations: { 'mesh.io/inject': 'disabled' } },
        spec: {
          serviceAccountName: program.name,
          // Otherwise Service mesh-identity would set MESH_IDENTITY_PORT, which is a setting of ours.
          enableServiceLinks: false,
          terminationGracePeriodSeconds: program.graceSeconds ?? 30,
          containers: [
            {
              name: program.program,
              image: program.image,
              command: programCommand(program.program),
              env: program.env,
              ports: [...program.ports, { name: 'admin', containerPort: program.adminPort }],
              readinessProbe: { httpGet: { path: '/ready', port: program.adminPort }, periodSeconds: 1 },
              livenessProbe: {
                httpGet: { path: '/live', port: program.adminPort },
                initialDelaySeconds: 10,
                periodSeconds: 10,
                failureThreshold: 6,
              },
              securityContext: lockedDown(program.uid),
              volumeMounts: program.volumeMounts ?? [],
            },
          ],
          volumes: program.volumes ?? [],
        },
      },
    },
  };
}

/** No root, no capability, no way to gain one, a read-only file system. */
export function lockedDown(uid: number): unknown {
  return {
    runAsUser: uid,
    runAsGroup: uid,
    runAsNonRoot: true,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
    seccompProfile: { type: 'RuntimeDefault' },
  };
}

/** Projected token with which a workload asks for its certificate. */
export const identityTokenVolume = {
  name: 'mesh-identity-token',
  projected: {
    sources: [
      { serviceAccountToken: { path: 'token', audience: 'identity.mesh.io', expirationSeconds: 86_400 } },
    ],
  },
};

export const identityTokenMount = {
  name: identityTokenVolume.name,
  mountPath: '/var/run/secrets/mesh',
  readOnly: true,
};

/** What the control plane said last; as old as the pod, so that a restarted sidecar or gateway can go by it. */
export const lastGoodMount = { name: 'mesh-last-good', mountPath: '/var/run/mesh/last-good' };

/** A file of at most 1 MiB, twice while it is replaced. */
export const lastGoodVolume = { name: lastGoodMount.name, emptyDir: { sizeLimit: '4Mi' } };
