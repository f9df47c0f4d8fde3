/** The environment of a container: downward API, ConfigMap and Secret references, service variables, $(NAME). */
import type { ConfigMap, Container, Pod, Secret, Service } from '@mesh/kube/types';

/** What environment and volumes need from the cluster. Undefined when the object does not exist. */
export interface ClusterData {
  configMap(namespace: string, name: string): ConfigMap | undefined;
  secret(namespace: string, name: string): Secret | undefined;
  /** Services of the namespace, for the NAME_SERVICE_HOST variables. */
  services(namespace: string): readonly Service[];
}

export interface EnvironmentInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly podIp: string;
  readonly hostIp: string;
  readonly data: ClusterData;
  readonly apiAddress: string;
}

/** Why a container cannot be started yet; kubelet shows it as CreateContainerConfigError. */
export interface ConfigFault {
  readonly fault: string;
}

const defaultPath = '/opt/mesh/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Name to value in the order of definition, or the first thing that is missing. */
export function containerEnvironment(input: EnvironmentInput): Map<string, string> | ConfigFault {
  const { pod, container, data } = input;
  const namespace = pod.metadata?.namespace ?? 'default';
  const env = new Map<string, string>([
    ['PATH', defaultPath],
    ['HOME', '/root'],
    ['HOSTNAME', pod.spec?.hostname ?? pod.metadata?.name ?? ''],
    ['KUBERNETES_SERVICE_HOST', input.apiAddress],
    ['KUBERNETES_SERVICE_PORT', '443'],
    ['KUBERNETES_SERVICE_PORT_HTTPS', '443'],
    ['KUBERNETES_PORT', `tcp://${input.apiAddress}:443`],
  ]);
  if (pod.spec?.enableServiceLinks !== false) addServiceLinks(env, data.services(namespace));
  for (const source of container.envFrom ?? []) {
    const prefix = source.prefix ?? '';
    const reference = source.configMapRef ?? source.secretRef;
    const isSecret = source.configMapRef === undefined;
    if (reference === undefined) continue;
    const values = isSecret
      ? secretValues(data.secret(namespace, reference.name ?? ''))
      : data.configMap(namespace, reference.name ?? '')?.data;
    if (values === undefined) {
      if (reference.optional === true) continue;
      return { fault: `${isSecret ? 'secret' : 'configmap'} "${reference.name}" not found` };
    }
    for (const [name, value] of Object.entries(values)) env.set(prefix + name, value);
  }
  for (const entry of container.env ?? []) {
    const from = entry.valueFrom;
    if (from === undefined || from === null) {
      env.set(entry.name, expandReferences(entry.value ?? '', env));
      continue;
    }
    const value = referencedValue(from, input);
    if (typeof value === 'object') return value;
    if (value !== undefined) env.set(entry.name, value);
  }
  return env;
}

type EnvSource = NonNullable<NonNullable<Container['env']>[number]['valueFrom']>;

/** Undefined when the reference is optional and absent. */
function referencedValue(from: EnvSource, input: EnvironmentInput): string | undefined | ConfigFault {
  const { pod, data } = input;
  const namespace = pod.metadata?.namespace ?? 'default';
  if (from.fieldRef !== undefined) {
    const value = podField(input, from.fieldRef.fieldPath);
    return value ?? { fault: `fieldPath "${from.fieldRef.fieldPath}" is not supported` };
  }
  if (from.resourceFieldRef !== undefined) return resourceField(input.container, from.resourceFieldRef);
  const reference = from.configMapKeyRef ?? from.secretKeyRef;
  if (reference === undefined) return { fault: 'valueFrom names no source' };
  const isSecret = from.configMapKeyRef === undefined;
  const kind = isSecret ? 'secret' : 'configmap';
  const name = reference.name ?? '';
  const values = isSecret
    ? secretValues(data.secret(namespace, name))
    : data.configMap(namespace, name)?.data;
  const value = values?.[reference.key];
  if (value !== undefined) return value;
  if (reference.optional === true) return undefined;
  if (values === undefined) return { fault: `${kind} "${name}" not found` };
  return { fault: `couldn't find key ${reference.key} in ${kind} ${namespace}/${name}` };
}

function secretValues(secret: Secret | undefined): Record<string, string> | undefined {
  if (secret === undefined) return undefined;
  const values: Record<string, string> = {};
  for (const [key, value] of Object.entries(secret.data ?? {})) {
    values[key] = Buffer.from(value, 'base64').toString('utf8');
  }
  return values;
}

/** A field of the downward API (`metadata.labels['x']`, `status.podIP`, …); undefined when it is not one. */
export function podField(
  { pod, podIp, hostIp }: Pick<EnvironmentInput, 'pod' | 'podIp' | 'hostIp'>,
  path: string,
): string | undefined {
  const keyed = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (keyed !== null) {
    const values = keyed[1] === 'labels' ? pod.metadata?.labels : pod.metadata?.annotations;
    return values?.[keyed[2] ?? ''] ?? '';
  }
  switch (path) {
    case 'metadata.name':
      return pod.metadata?.name ?? '';
    case 'metadata.namespace':
      return pod.metadata?.namespace ?? '';
    case 'metadata.uid':
      return pod.metadata?.uid ?? '';
    case 'metadata.labels':
      return keyValueLines(pod.metadata?.labels);
    case 'metadata.annotations':
      return keyValueLines(pod.metadata?.annotations);
    case 'spec.nodeName':
      return pod.spec?.nodeName ?? '';
    case 'spec.serviceAccountName':
      return pod.spec?.serviceAccountName ?? 'default';
    case 'status.podIP':
    case 'status.podIPs':
      return podIp;
    case 'status.hostIP':
    case 'status.hostIPs':
      return hostIp;
    default:
      return undefined;
  }
}

function keyValueLines(values: Record<string, string> | undefined): string {
  return Object.entries(values ?? {})
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');
}

interface ResourceReference {
  resource: string;
  /** Unit of the result, as a quantity; 0 and absent are 1. */
  divisor?: string | undefined;
}

/** `limits.cpu` as whole cores, `limits.memory` as bytes, or in units of the divisor; 0 when the container states none. */
export function resourceField(container: Container, { resource, divisor = '0' }: ResourceReference): string {
  const [group, name = ''] = resource.split('.');
  const table = group === 'limits' ? container.resources?.limits : container.resources?.requests;
  const text = table?.[name] ?? '0';
  // In thousandths, which a quantity of processors may have, so that the division is one of whole numbers.
  const unit = thousandths(divisor);
  return String(Math.ceil(thousandths(text) / (unit === 0 ? 1000 : unit)));
}

function thousandths(quantity: string): number {
  const match = /^(\d+(?:\.\d+)?)([a-zA-Z]*)$/.exec(quantity);
  const scale = quantityScales[match?.[2] ?? ''];
  return match === null || scale === undefined ? 0 : Math.round(Number(match[1]) * scale * 1000);
}

const quantityScales: Readonly<Record<string, number>> = {
  '': 1,
  m: 0.001,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 1024,
  Mi: 1024 ** 2,
  T: 1e12,
  Gi: 1024 ** 3,
  Ti: 1024 ** 4,
};

function addServiceLinks(env: Map<string, string>, services: readonly Service[]): void {
  for (const service of services) {
    const address = service.spec?.clusterIP;
    const [first] = service.spec?.ports ?? [];
    if (address === undefined || address === 'None' || first === undefined) continue;
    const prefix = (service.metadata?.name ?? '').toUpperCase().replaceAll('-', '_');
    env.set(`${prefix}_SERVICE_HOST`, address);
    env.set(`${prefix}_SERVICE_PORT`, String(first.port));
  }
}

/** `$(NAME)` becomes the value of NAME where it is defined, `$$` a dollar sign; everything else stays as it is. */
export function expandReferences(text: string, env: ReadonlyMap<string, string>): string {
  return text.replace(/\$(\$|\(([^)]*)\))/g, (whole, inner: string, name: string | undefined) =>
    inner === '$' ? '$' : (env.get(name ?? '') ?? whole),
  );
}
