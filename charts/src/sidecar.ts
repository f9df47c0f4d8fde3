/**
 * Adds the sidecar to a pod: pure, so that the webhook, `mesh inject --manual` and tests share one truth.
 *
 * Two init containers go first: `mesh-init` redirects the pod's traffic, `mesh-proxy` is a native sidecar
 * (restartPolicy Always, KEP-753), so that other init containers have a network and jobs can finish.
 */
import {
  controlPlaneNamespace,
  env,
  type EnvVar,
  fieldEnv,
  identityTokenMount,
  identityTokenVolume,
  lastGoodMount,
  lastGoodVolume,
  lockedDown,
} from './objects.ts';
import { portNumbers } from '@mesh/multicluster/port-list';
import {
  controlPlaneLabel,
  defaultSkippedPorts,
  initContainerName,
  inboundPolicyAnnotation,
  injectAnnotation,
  maxInFlightAnnotation,
  opaquePortsAnnotation,
  proxyVersionAnnotation,
  skipInboundAnnotation,
  skipInboundSetting,
  skipOutboundAnnotation,
} from '@mesh/multicluster/workload-names';
import type { Values } from './values.ts';
import { dataPlaneEnvironment, programCommand } from './program-command.ts';

interface Container {
  name: string;
  restartPolicy?: string;
  ports?: readonly { containerPort: number; protocol?: string; name?: string }[];
  [field: string]: unknown;
}

export interface PodTemplate {
  metadata?: {
    name?: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    [field: string]: unknown;
  };
  spec?: {
    containers: Container[];
    initContainers?: Container[];
    volumes?: { name: string; [field: string]: unknown }[];
    hostNetwork?: boolean;
    os?: { name: string };
    [field: string]: unknown;
  };
}

export type InjectionDecision =
  | { inject: true }
  /** `misspelt`: somebody asked for something, and it is not known for what. */
  | { inject: false; reason: string; misspelt?: true };

/** The pod's own annotation wins over the namespace's; anything but `enabled` is no. */
export function injectionDecision(
  pod: PodTemplate,
  namespaceAnnotations: Readonly<Record<string, string>>,
): InjectionDecision {
  const asked = pod.metadata?.annotations?.[injectAnnotation] ?? namespaceAnnotations[injectAnnotation];
  if (asked === undefined)
    return { inject: false, reason: `neither pod nor namespace has ${injectAnnotation}: enabled` };
  if (asked === 'disabled') return { inject: false, reason: `${injectAnnotation} is disabled` };
  if (pod.spec?.hostNetwork === true) {
    return { inject: false, reason: 'the pod uses the host network, whose traffic cannot be redirected' };
  }
  if (pod.spec?.os?.name === 'windows') {
    return {
      inject: false,
      reason: 'the pod is for Windows, where the API server allows no such containers',
    };
  }
  if (pod.spec?.initContainers?.some(({ name }) => name === 'mesh-proxy')) {
    return { inject: false, reason: 'the pod already has a sidecar' };
  }
  if (asked !== 'enabled') {
    const reason = `${injectAnnotation} is ${JSON.stringify(asked.slice(0, 64))}, neither enabled nor disabled`;
    return { inject: false, reason, misspelt: true };
  }
  return { inject: true };
}

/** A copy of `pod` with the sidecar; `namespaceAnnotations` give defaults for its settings. */
export function withSidecar(
  pod: PodTemplate,
  values: Values,
  namespaceAnnotations: Readonly<Record<string, string>> = {},
): PodTemplate {
  const settings = { ...namespaceAnnotations, ...pod.metadata?.annotations };
  const spec = pod.spec ?? { containers: [] };
  const serving = [...spec.containers, ...(spec.initContainers ?? []).filter(isNativeSidecar)];
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      labels: { ...pod.metadata?.labels, [controlPlaneLabel]: controlPlaneNamespace },
      annotations: { ...pod.metadata?.annotations, [proxyVersionAnnotation]: values.version },
    },
    spec: {
      ...spec,
      initContainers: [
        initContainer(values, settings, serving),
        proxyContainer(values, settings, serving),
        ...(spec.initContainers ?? []),
      ],
      volumes: [...(spec.volumes ?? []), identityTokenVolume, lastGoodVolume],
    },
  };
}

/** It runs beside the containers and serves ports as they do (KEP-753). */
function isNativeSidecar({ restartPolicy }: Container): boolean {
  return restartPolicy === 'Always';
}

function initContainer(
  values: Values,
  settings: Readonly<Record<string, string>>,
  containers: readonly Container[],
): Container {
  // Said where it is the default as well: destination goes by the same list, and tells callers what no sidecar will see.
  const skipInbound = settings[skipInboundAnnotation] ?? defaultSkippedPorts;
  const skipOutbound = settings[skipOutboundAnnotation];
  const optional: [string, string | undefined][] = [
    [skipInboundSetting, numbersOf(skipInbound, containers)],
    // Ports of others, which have no names here.
    ['MESH_INIT_SKIP_OUTBOUND_PORTS', skipOutbound === undefined ? undefined : numbersOf(skipOutbound, [])],
  ];
  return {
    name: initContainerName,
    image: values.image,
    command: programCommand('proxy-init'),
    env: optional.flatMap(([name, value]) => (value === undefined ? [] : [{ name, value }])),
    securityContext: {
      runAsUser: 0,
      runAsGroup: 0,
      // Where the pod demands it of its containers, a kubelet would not start this one.
      runAsNonRoot: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] },
    },
  };
}

function proxyContainer(
  values: Values,
  settings: Readonly<Record<string, string>>,
  containers: readonly Container[],
): Container {
  const maxInFlight = settings[maxInFlightAnnotation];
  return {
    name: 'mesh-proxy',
    image: values.image,
    restartPolicy: 'Always',
    command: programCommand('proxy'),
    env: [
      ...workloadEnv(values),
      ...env({
        MESH_OPAQUE_PORTS: numbersOf(
          settings[opaquePortsAnnotation] ?? values.opaquePorts.join(','),
          containers,
        ),
        MESH_INBOUND_PORTS: tcpPorts(containers).join(','),
        MESH_INBOUND_DEFAULT_POLICY: settings[inboundPolicyAnnotation] ?? values.inboundPolicy,
        ...dataPlaneEnvironment,
        MESH_LAST_GOOD_DIR: lastGoodMount.mountPath,
      }),
      ...(maxInFlight === undefined ? [] : env({ MESH_MAX_IN_FLIGHT: maxInFlight })),
    ],
    ports: [
      { name: 'mesh-inbound', containerPort: 4143 },
      { name: 'mesh-admin', containerPort: 4191 },
    ],
    startupProbe: { httpGet: { path: '/ready', port: 4191 }, periodSeconds: 1, failureThreshold: 120 },
    readinessProbe: { httpGet: { path: '/ready', port: 4191 }, periodSeconds: 2 },
    securityContext: lockedDown(2102),
    volumeMounts: [identityTokenMount, lastGoodMount],
  };
}

/** A list of ports, in which containers' ports may go by their names, for programs that do not know those. */
function numbersOf(list: string, containers: readonly Container[]): string {
  const declared = containers.flatMap(({ ports = [] }) => ports);
  return portNumbers(list, (wanted) => declared.find(({ name }) => name === wanted)?.containerPort);
}

/** The TCP ports that the containers declare. */
function tcpPorts(containers: readonly Container[]): number[] {
  const declared = containers.flatMap(({ ports = [] }) => ports);
  return [
    ...new Set(
      declared.filter(({ protocol = 'TCP' }) => protocol === 'TCP').map((port) => port.containerPort),
    ),
  ];
}

/** What every program with a workload identity needs to know. */
export function workloadEnv(values: Values): EnvVar[] {
  const inCluster = `${controlPlaneNamespace}.svc.${values.clusterDomain}`;
  return [
    ...env({
      MESH_CLUSTER: values.cluster,
      MESH_TRUST_DOMAIN: `${values.cluster}.${values.trustSuffix}`,
      MESH_TRUST_ANCHORS: values.anchors,
      MESH_IDENTITY_ADDR: `mesh-identity.${inCluster}:8080`,
      MESH_TRUST_BUNDLE_ADDR: `mesh-identity.${inCluster}:8081`,
      MESH_DESTINATION_ADDR: `mesh-destination.${inCluster}:8086`,
      MESH_POLICY_ADDR: `mesh-destination.${inCluster}:8090`,
      MESH_TOKEN_FILE: `${identityTokenMount.mountPath}/token`,
      MESH_LOG_LEVEL: values.logLevel,
    }),
    fieldEnv('MESH_SERVICE_ACCOUNT', 'spec.serviceAccountName'),
    fieldEnv('MESH_NAMESPACE', 'metadata.namespace'),
    fieldEnv('MESH_POD_NAME', 'metadata.name'),
    fieldEnv('MESH_POD_IP', 'status.podIP'),
    fieldEnv('MESH_NODE_NAME', 'spec.nodeName'),
  ];
}
