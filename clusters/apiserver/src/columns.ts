/** Table columns of built-in kinds, as a real server prints them. */
import { at, isObject, listAt, numberAt, objectAt, textAt, textsAt, type Json } from './json.ts';
import type { KubeObject } from './object.ts';
import { formatAge } from './age.ts';

export interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date' | 'number' | 'boolean';
  readonly format?: string;
  /** Above 0 only with `-o wide`. */
  readonly priority?: number;
  cell(object: KubeObject, nowMs: number): Json;
}

const none = '<none>';

const nameColumn: Column = {
  name: 'Name',
  type: 'string',
  format: 'name',
  cell: (object) => object.metadata.name,
};
const ageColumn: Column = {
  name: 'Age',
  type: 'string',
  cell: (object, now) => age(object.metadata.creationTimestamp, now),
};

export function age(time: string | undefined, nowMs: number): string {
  const at = Date.parse(time ?? '');
  return Number.isNaN(at) ? '<unknown>' : formatAge(nowMs - at);
}

const text = (name: string, cell: (object: KubeObject, nowMs: number) => string, priority = 0): Column => ({
  name,
  type: 'string',
  priority,
  cell,
});
/** A number in a column that Kubernetes declares as text. */
const asText = (column: Column): Column => ({ ...column, type: 'string' });
const count = (name: string, ...path: string[]): Column => ({
  name,
  type: 'integer',
  cell: (object) => numberAt(object, ...path) ?? 0,
});
const size = (name: string, cell: (object: KubeObject) => number): Column => ({
  name,
  type: 'integer',
  cell,
});

function pairs(labels: Json | undefined): string {
  const entries = Object.entries(isObject(labels) ? labels : {});
  return entries.length === 0 ? none : entries.map(([key, value]) => `${key}=${String(value)}`).join(',');
}

function selectorText(selector: Json | undefined): string {
  const parts = Object.entries(objectAt(selector, 'matchLabels') ?? {}).map(
    ([key, value]) => `${key}=${String(value)}`,
  );
  for (const expression of listAt(selector, 'matchExpressions')) {
    const key = textAt(expression, 'key') ?? '';
    const values = textsAt(expression, 'values').join(',');
    const operator = textAt(expression, 'operator');
    if (operator === 'Exists') parts.push(key);
    else if (operator === 'DoesNotExist') parts.push(`!${key}`);
    else parts.push(`${key} ${operator?.toLowerCase() ?? ''} (${values})`);
  }
  return parts.length === 0 ? none : parts.join(',');
}

const containersOf = (object: KubeObject): Json[] => listAt(object, 'spec', 'template', 'spec', 'containers');
const containerColumns: Column[] = [
  text(
    'Containers',
    (o) =>
      containersOf(o)
        .map((c) => textAt(c, 'name'))
        .join(','),
    1,
  ),
  text(
    'Images',
    (o) =>
      containersOf(o)
        .map((c) => textAt(c, 'image'))
        .join(','),
    1,
  ),
];

/** Init containers that keep running beside the others. */
function isSidecar(pod: KubeObject, name: string | undefined): boolean {
  const container = listAt(pod, 'spec', 'initContainers').find((item) => textAt(item, 'name') === name);
  return textAt(container, 'restartPolicy') === 'Always';
}

function initReason(pod: KubeObject): string | undefined {
  const statuses = listAt(pod, 'status', 'initContainerStatuses');
  const total = listAt(pod, 'spec', 'initContainers').length;
  for (const [index, status] of statuses.entries()) {
    const terminated = at(status, 'state', 'terminated');
    if (terminated !== undefined && numberAt(terminated, 'exitCode') === 0) continue;
    if (isSidecar(pod, textAt(status, 'name')) && at(status, 'started') === true) continue;
    if (terminated !== undefined) {
      const reason = textAt(terminated, 'reason') ?? '';
      return `Init:${reason === '' ? `ExitCode:${numberAt(terminated, 'exitCode') ?? 0}` : reason}`;
    }
    const waiting = textAt(status, 'state', 'waiting', 'reason') ?? '';
    return waiting !== '' && waiting !== 'PodInitializing' ? `Init:${waiting}` : `Init:${index}/${total}`;
  }
  return undefined;
}

function podStatus(pod: KubeObject): string {
  const phase = textAt(pod, 'status', 'phase') ?? '';
  let reason = textAt(pod, 'status', 'reason') ?? phase;
  const initializing = initReason(pod);
  if (initializing !== undefined) reason = initializing;
  else {
    let running = false;
    for (const status of listAt(pod, 'status', 'containerStatuses').toReversed()) {
      const waiting = textAt(status, 'state', 'waiting', 'reason') ?? '';
      const terminated = at(status, 'state', 'terminated');
      if (waiting !== '') reason = waiting;
      else if (terminated !== undefined) {
        const why = textAt(terminated, 'reason') ?? '';
        reason = why === '' ? `ExitCode:${numberAt(terminated, 'exitCode') ?? 0}` : why;
      } else if (at(status, 'ready') === true && at(status, 'state', 'running') !== undefined) running = true;
    }
    if (reason === 'Completed' && running) {
      const ready = listAt(pod, 'status', 'conditions').some(
        (condition) => textAt(condition, 'type') === 'Ready' && textAt(condition, 'status') === 'True',
      );
      reason = ready ? 'Running' : 'NotReady';
    }
  }
  if (pod.metadata['deletionTimestamp'] === undefined) return reason;
  return textAt(pod, 'status', 'reason') === 'NodeLost' ? 'Unknown' : 'Terminating';
}

function countedStatuses(pod: KubeObject): Json[] {
  return [
    ...listAt(pod, 'status', 'initContainerStatuses').filter((status) =>
      isSidecar(pod, textAt(status, 'name')),
    ),
    ...listAt(pod, 'status', 'containerStatuses'),
  ];
}

function podReady(pod: KubeObject): string {
  const sidecars = listAt(pod, 'spec', 'initContainers').filter(
    (item) => at(item, 'restartPolicy') === 'Always',
  );
  const total = listAt(pod, 'spec', 'containers').length + sidecars.length;
  return `${countedStatuses(pod).filter((status) => at(status, 'ready') === true).length}/${total}`;
}

function podRestarts(pod: KubeObject, nowMs: number): string {
  const statuses = countedStatuses(pod);
  const restarts = statuses.reduce<number>((sum, status) => sum + (numberAt(status, 'restartCount') ?? 0), 0);
  const last = statuses
    .map((status) => textAt(status, 'lastState', 'terminated', 'finishedAt') ?? '')
    .reduce((latest, time) => (time > latest ? time : latest), '');
  return restarts === 0 || last === '' ? String(restarts) : `${restarts} (${age(last, nowMs)} ago)`;
}

function readinessGates(pod: KubeObject): string {
  const gates = listAt(pod, 'spec', 'readinessGates').map((gate) => textAt(gate, 'conditionType') ?? '');
  const open = gates.filter((gate) => condition(pod, gate) === 'True');
  return gates.length === 0 ? none : `${open.length}/${gates.length}`;
}

function externalAddress(service: KubeObject): string {
  const ingress = listAt(service, 'status', 'loadBalancer', 'ingress').map(
    (item) => textAt(item, 'ip') ?? textAt(item, 'hostname') ?? '',
  );
  const external = textsAt(service, 'spec', 'externalIPs');
  switch (textAt(service, 'spec', 'type')) {
    case 'LoadBalancer':
      return [...ingress, ...external].join(',') || '<pending>';
    case 'ExternalName':
      return textAt(service, 'spec', 'externalName') ?? none;
    default:
      return external.join(',') || none;
  }
}

function servicePorts(service: KubeObject): string {
  return (
    listAt(service, 'spec', 'ports')
      .map((port) => {
        const node = numberAt(port, 'nodePort');
        return `${numberAt(port, 'port')}${node === undefined ? '' : `:${node}`}/${textAt(port, 'protocol')}`;
      })
      .join(',') || none
  );
}

function condition(object: KubeObject, type: string): string | undefined {
  const found = listAt(object, 'status', 'conditions').find((item) => textAt(item, 'type') === type);
  return textAt(found, 'status');
}

function nodeStatus(node: KubeObject): string {
  const ready = condition(node, 'Ready');
  const parts = [ready === undefined ? 'Unknown' : ready === 'True' ? 'Ready' : 'NotReady'];
  if (at(node, 'spec', 'unschedulable') === true) parts.push('SchedulingDisabled');
  return parts.join(',');
}

function nodeRoles(node: KubeObject): string {
  const prefix = 'node-role.kubernetes.io/';
  const roles = Object.keys(objectAt(node, 'metadata', 'labels') ?? {})
    .filter((label) => label.startsWith(prefix))
    .map((label) => label.slice(prefix.length));
  return roles.length === 0 ? none : roles.join(',');
}

const nodeAddress = (node: KubeObject, type: string): string =>
  textAt(
    listAt(node, 'status', 'addresses').find((item) => textAt(item, 'type') === type),
    'address',
  ) ?? none;

/** A list cut after three items, as kubectl shows it. */
function short(items: readonly string[]): string {
  if (items.length === 0) return none;
  return items.length > 3 ? `${items.slice(0, 3).join(',')} + ${items.length - 3} more...` : items.join(',');
}

function sliceAddresses(slice: KubeObject): string[] {
  return listAt(slice, 'endpoints').flatMap((endpoint) => textsAt(endpoint, 'addresses'));
}

function slicePorts(slice: KubeObject): string {
  const ports = listAt(slice, 'ports').map((port) => String(numberAt(port, 'port') ?? '*'));
  return ports.length === 0 ? '<unset>' : short(ports);
}

function subjectsText(binding: KubeObject, kind: string): string {
  return listAt(binding, 'subjects')
    .filter((subject) => textAt(subject, 'kind') === kind)
    .map((subject) => {
      const namespace = textAt(subject, 'namespace');
      const name = textAt(subject, 'name') ?? '';
      return kind === 'ServiceAccount' && namespace !== undefined ? `${namespace}/${name}` : name;
    })
    .join(', ');
}

const bindingColumns: Column[] = [
  nameColumn,
  text('Role', (o) => `${textAt(o, 'roleRef', 'kind')}/${textAt(o, 'roleRef', 'name')}`),
  ageColumn,
  text('Users', (o) => subjectsText(o, 'User'), 1),
  text('Groups', (o) => subjectsText(o, 'Group'), 1),
  text('ServiceAccounts', (o) => subjectsText(o, 'ServiceAccount'), 1),
];

const webhookColumns: Column[] = [
  nameColumn,
  size('Webhooks', (o) => listAt(o, 'webhooks').length),
  ageColumn,
];

const createdAt = text('Created At', (o) => o.metadata.creationTimestamp);

export const fallbackColumns: readonly Column[] = [nameColumn, createdAt];

export const builtinColumns: Readonly<Record<string, readonly Column[]>> = {
  ServiceAccount: [nameColumn, ageColumn],
  Pod: [
    nameColumn,
    text('Ready', podReady),
    text('Status', podStatus),
    text('Restarts', podRestarts),
    ageColumn,
    text('IP', (o) => textAt(o, 'status', 'podIP') ?? none, 1),
    text('Node', (o) => textAt(o, 'spec', 'nodeName') ?? none, 1),
    text('Nominated Node', (o) => textAt(o, 'status', 'nominatedNodeName') ?? none, 1),
    text('Readiness Gates', readinessGates, 1),
  ],
  Service: [
    nameColumn,
    text('Type', (o) => textAt(o, 'spec', 'type') ?? ''),
    text('Cluster-IP', (o) => textAt(o, 'spec', 'clusterIP') ?? none),
    text('External-IP', externalAddress),
    text('Port(s)', servicePorts),
    ageColumn,
    text('Selector', (o) => pairs(at(o, 'spec', 'selector')), 1),
  ],
  Deployment: [
    nameColumn,
    text(
      'Ready',
      (o) => `${numberAt(o, 'status', 'readyReplicas') ?? 0}/${numberAt(o, 'spec', 'replicas') ?? 0}`,
    ),
    asText(count('Up-to-date', 'status', 'updatedReplicas')),
    asText(count('Available', 'status', 'availableReplicas')),
    ageColumn,
    ...containerColumns,
    text('Selector', (o) => selectorText(at(o, 'spec', 'selector')), 1),
  ],
  ReplicaSet: [
    nameColumn,
    count('Desired', 'spec', 'replicas'),
    count('Current', 'status', 'replicas'),
    count('Ready', 'status', 'readyReplicas'),
    ageColumn,
    ...containerColumns,
    text('Selector', (o) => selectorText(at(o, 'spec', 'selector')), 1),
  ],
  StatefulSet: [
    nameColumn,
    text(
      'Ready',
      (o) => `${numberAt(o, 'status', 'readyReplicas') ?? 0}/${numberAt(o, 'spec', 'replicas') ?? 0}`,
    ),
    ageColumn,
    ...containerColumns,
  ],
  Node: [
    nameColumn,
    text('Status', nodeStatus),
    text('Roles', nodeRoles),
    ageColumn,
    text('Version', (o) => textAt(o, 'status', 'nodeInfo', 'kubeletVersion') ?? ''),
    text('Internal-IP', (o) => nodeAddress(o, 'InternalIP'), 1),
    text('External-IP', (o) => nodeAddress(o, 'ExternalIP'), 1),
    text('OS-Image', (o) => textAt(o, 'status', 'nodeInfo', 'osImage') ?? '<unknown>', 1),
    text('Kernel-Version', (o) => textAt(o, 'status', 'nodeInfo', 'kernelVersion') ?? '<unknown>', 1),
    text(
      'Container-Runtime',
      (o) => textAt(o, 'status', 'nodeInfo', 'containerRuntimeVersion') ?? '<unknown>',
      1,
    ),
  ],
  Namespace: [nameColumn, text('Status', (o) => textAt(o, 'status', 'phase') ?? ''), ageColumn],
  ConfigMap: [
    nameColumn,
    asText(size('Data', (o) => Object.keys({ ...objectAt(o, 'data'), ...objectAt(o, 'binaryData') }).length)),
    ageColumn,
  ],
  Secret: [
    nameColumn,
    text('Type', (o) => textAt(o, 'type') ?? ''),
    asText(size('Data', (o) => Object.keys(objectAt(o, 'data') ?? {}).length)),
    ageColumn,
  ],
  Endpoints: [
    nameColumn,
    text('Endpoints', (o) =>
      short(
        listAt(o, 'subsets').flatMap((subset) =>
          listAt(subset, 'ports').flatMap((port) =>
            listAt(subset, 'addresses').map((item) => `${textAt(item, 'ip')}:${numberAt(port, 'port')}`),
          ),
        ),
      ),
    ),
    ageColumn,
  ],
  EndpointSlice: [
    nameColumn,
    text('AddressType', (o) => textAt(o, 'addressType') ?? ''),
    text('Ports', slicePorts),
    text('Endpoints', (o) => short(sliceAddresses(o))),
    ageColumn,
  ],
  Event: [
    text('Last Seen', (o, now) =>
      age(textAt(o, 'lastTimestamp') ?? textAt(o, 'eventTime') ?? o.metadata.creationTimestamp, now),
    ),
    text('Type', (o) => textAt(o, 'type') ?? ''),
    text('Reason', (o) => textAt(o, 'reason') ?? ''),
    text(
      'Object',
      (o) =>
        `${(textAt(o, 'involvedObject', 'kind') ?? '').toLowerCase()}/${textAt(o, 'involvedObject', 'name') ?? ''}`,
    ),
    text('Subobject', (o) => textAt(o, 'involvedObject', 'fieldPath') ?? '', 1),
    text('Source', (o) => textAt(o, 'source', 'component') ?? textAt(o, 'reportingComponent') ?? '', 1),
    text('Message', (o) => (textAt(o, 'message') ?? '').trim()),
    text('First Seen', (o, now) => age(textAt(o, 'firstTimestamp') ?? o.metadata.creationTimestamp, now), 1),
    { ...count('Count', 'count'), priority: 1 },
    { ...nameColumn, priority: 1 },
  ],
  Lease: [nameColumn, text('Holder', (o) => textAt(o, 'spec', 'holderIdentity') ?? ''), ageColumn],
  PodDisruptionBudget: [
    nameColumn,
    text('Min Available', (o) => String(at(o, 'spec', 'minAvailable') ?? 'N/A')),
    text('Max Unavailable', (o) => String(at(o, 'spec', 'maxUnavailable') ?? 'N/A')),
    count('Allowed Disruptions', 'status', 'disruptionsAllowed'),
    ageColumn,
  ],
  Role: [nameColumn, createdAt],
  ClusterRole: [nameColumn, createdAt],
  RoleBinding: bindingColumns,
  ClusterRoleBinding: bindingColumns,
  MutatingWebhookConfiguration: webhookColumns,
  ValidatingWebhookConfiguration: webhookColumns,
  CustomResourceDefinition: [nameColumn, createdAt],
};
