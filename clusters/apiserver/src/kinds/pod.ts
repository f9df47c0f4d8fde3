import type { Faults } from '../faults.ts';
import { at, clone, deepEqual, isObject, listAt, textAt, type Json, type JsonObject } from '../json.ts';
import { nameFault, validateLabels } from '../names.ts';
import { objectsIn, section, setDefault, type KindRules } from './rules.ts';

const restartPolicies = ['Always', 'OnFailure', 'Never'];
const protocols = ['TCP', 'UDP', 'SCTP'];

function defaultProbe(probe: Json | undefined): void {
  if (!isObject(probe)) return;
  setDefault(probe, 'timeoutSeconds', 1);
  setDefault(probe, 'periodSeconds', 10);
  setDefault(probe, 'successThreshold', 1);
  setDefault(probe, 'failureThreshold', 3);
  defaultHttpGet(probe);
}

function defaultHttpGet(handler: Json | undefined): void {
  const get = at(handler, 'httpGet');
  if (isObject(get)) {
    setDefault(get, 'path', '/');
    setDefault(get, 'scheme', 'HTTP');
  }
  const grpc = at(handler, 'grpc');
  if (isObject(grpc)) setDefault(grpc, 'service', '');
}

function defaultContainer(container: JsonObject): void {
  const image = textAt(container, 'image') ?? '';
  const tag = /:([^/:@]+)$/.exec(image)?.[1] ?? (image.includes('@') ? 'digest' : 'latest');
  setDefault(container, 'imagePullPolicy', tag === 'latest' ? 'Always' : 'IfNotPresent');
  setDefault(container, 'terminationMessagePath', '/dev/termination-log');
  setDefault(container, 'terminationMessagePolicy', 'File');
  const resources = section(container, 'resources');
  const limits = resources['limits'];
  if (isObject(limits)) {
    const requests = section(resources, 'requests');
    for (const [name, quantity] of Object.entries(limits)) setDefault(requests, name, quantity);
  }
  for (const port of objectsIn(container, 'ports')) setDefault(port, 'protocol', 'TCP');
  for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe']) defaultProbe(container[probe]);
  for (const hook of ['postStart', 'preStop']) defaultHttpGet(at(container, 'lifecycle', hook));
  for (const variable of objectsIn(container, 'env')) defaultFieldRef(at(variable, 'valueFrom', 'fieldRef'));
}

function defaultFieldRef(reference: Json | undefined): void {
  if (isObject(reference)) setDefault(reference, 'apiVersion', 'v1');
}

function defaultVolume(volume: JsonObject): void {
  const sources = Object.keys(volume).filter((name) => name !== 'name');
  if (sources.length === 0) volume['emptyDir'] = {};
  for (const kind of ['secret', 'configMap', 'downwardAPI', 'projected']) {
    const source = volume[kind];
    if (!isObject(source)) continue;
    setDefault(source, 'defaultMode', 0o644);
    for (const item of objectsIn(source, 'items')) defaultFieldRef(item['fieldRef']);
    for (const part of objectsIn(source, 'sources')) {
      const token = part['serviceAccountToken'];
      if (isObject(token)) setDefault(token, 'expirationSeconds', 3600);
      const downward = part['downwardAPI'];
      if (isObject(downward)) {
        for (const item of objectsIn(downward, 'items')) defaultFieldRef(item['fieldRef']);
      }
    }
  }
}

/** Defaults of a pod spec, in pods and in templates. */
export function defaultPodSpec(spec: JsonObject): void {
  setDefault(spec, 'restartPolicy', 'Always');
  setDefault(spec, 'terminationGracePeriodSeconds', 30);
  setDefault(spec, 'dnsPolicy', 'ClusterFirst');
  setDefault(spec, 'schedulerName', 'default-scheduler');
  setDefault(spec, 'securityContext', {});
  if (typeof spec['serviceAccountName'] === 'string') spec['serviceAccount'] = spec['serviceAccountName'];
  else if (typeof spec['serviceAccount'] === 'string') spec['serviceAccountName'] = spec['serviceAccount'];
  for (const list of ['initContainers', 'containers']) {
    for (const container of objectsIn(spec, list)) defaultContainer(container);
  }
  for (const volume of objectsIn(spec, 'volumes')) defaultVolume(volume);
}

function validatePort(value: Json | undefined, field: string, faults: Faults): void {
  if (value === undefined) faults.required(field);
  else if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 65535) {
    faults.invalid(field, value, 'must be between 1 and 65535, inclusive');
  }
}

function validateProbe(probe: Json | undefined, field: string, faults: Faults): void {
  if (probe === undefined || probe === null) return;
  const handlers = ['exec', 'httpGet', 'tcpSocket', 'grpc'].filter((name) => at(probe, name) !== undefined);
  if (handlers.length === 0) faults.required(field, 'must specify a handler type');
  if (handlers.length > 1) faults.forbidden(field, 'may not specify more than 1 handler type');
}

function validateContainer(
  container: Json,
  { field, volumes, names }: { field: string; volumes: ReadonlySet<string>; names: Set<string> },
  faults: Faults,
): void {
  const name = textAt(container, 'name') ?? '';
  if (name === '') faults.required(`${field}.name`);
  else {
    const fault = nameFault(name, 'label');
    if (fault !== undefined) faults.invalid(`${field}.name`, name, fault);
  }
  if ((textAt(container, 'image') ?? '') === '') faults.required(`${field}.image`);
  for (const [index, port] of listAt(container, 'ports').entries()) {
    validatePort(at(port, 'containerPort'), `${field}.ports[${index}].containerPort`, faults);
    if (!protocols.includes(textAt(port, 'protocol') ?? '')) {
      faults.unsupported(`${field}.ports[${index}].protocol`, at(port, 'protocol'), protocols);
    }
  }
  for (const [index, variable] of listAt(container, 'env').entries()) {
    const variableName = textAt(variable, 'name') ?? '';
    if (variableName === '') faults.required(`${field}.env[${index}].name`);
    const value = at(variable, 'value');
    if (value !== undefined && value !== null && typeof value !== 'string') {
      faults.typeInvalid(`${field}.env[${index}].value`, value, 'must be a string; quote it');
    }
  }
  const paths = new Set<string>();
  for (const [index, mount] of listAt(container, 'volumeMounts').entries()) {
    const here = `${field}.volumeMounts[${index}]`;
    const volume = textAt(mount, 'name') ?? '';
    const path = textAt(mount, 'mountPath') ?? '';
    if (!volumes.has(volume)) faults.notFound(`${here}.name`, volume);
    if (path === '') faults.required(`${here}.mountPath`);
    if (paths.has(path)) faults.invalid(`${here}.mountPath`, path, 'must be unique');
    paths.add(path);
  }
  if (name !== '' && names.has(name)) faults.duplicate(`${field}.name`, name);
  names.add(name);
  for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    validateProbe(at(container, probe), `${field}.${probe}`, faults);
  }
}

function validatePodSpec(spec: Json | undefined, field: string, faults: Faults): void {
  const volumes = new Set<string>();
  for (const [index, volume] of listAt(spec, 'volumes').entries()) {
    const name = textAt(volume, 'name') ?? '';
    const here = `${field}.volumes[${index}].name`;
    const fault = nameFault(name, 'label');
    if (name === '') faults.required(here);
    else if (fault !== undefined) faults.invalid(here, name, fault);
    else if (volumes.has(name)) faults.duplicate(here, name);
    volumes.add(name);
  }
  const containers = listAt(spec, 'containers');
  if (containers.length === 0) faults.required(`${field}.containers`);
  const names = new Set<string>();
  for (const list of ['initContainers', 'containers']) {
    for (const [index, container] of listAt(spec, list).entries()) {
      const here = `${field}.${list}[${index}]`;
      validateContainer(container, { field: here, volumes, names }, faults);
      const policy = at(container, 'restartPolicy');
      if (policy !== undefined && (list === 'containers' || policy !== 'Always')) {
        faults.forbidden(`${here}.restartPolicy`, 'only "Always", and only on init containers');
      }
    }
  }
  if (!restartPolicies.includes(textAt(spec, 'restartPolicy') ?? '')) {
    faults.unsupported(`${field}.restartPolicy`, at(spec, 'restartPolicy'), restartPolicies);
  }
  const grace = at(spec, 'terminationGracePeriodSeconds');
  if (typeof grace !== 'number' || grace < 0) {
    faults.invalid(`${field}.terminationGracePeriodSeconds`, grace, 'must be greater than or equal to 0');
  }
  for (const list of ['initContainers', 'containers']) {
    for (const [index, container] of listAt(spec, list).entries()) {
      const image = textAt(container, 'image') ?? '';
      if (image === image.trim()) continue;
      faults.invalid(
        `${field}.${list}[${index}].image`,
        image,
        'must not have leading or trailing whitespace',
      );
    }
  }
}

/** Checks `spec.selector` and `spec.template` of a workload. */
export function validateTemplate(spec: Json | undefined, faults: Faults, restartPolicy = 'Always'): void {
  const template = at(spec, 'template');
  validateLabels(at(template, 'metadata', 'labels'), 'spec.template.metadata.labels', faults);
  validatePodSpec(at(template, 'spec'), 'spec.template.spec', faults);
  const policy = textAt(template, 'spec', 'restartPolicy');
  if (policy !== restartPolicy) {
    faults.unsupported('spec.template.spec.restartPolicy', policy, [restartPolicy]);
  }
}

/** The parts of a pod's spec that an update may change, taken out of a copy. */
function immutablePart(spec: Json | undefined): Json {
  const rest = isObject(spec) ? clone(spec) : {};
  delete rest['activeDeadlineSeconds'];
  delete rest['tolerations'];
  delete rest['terminationGracePeriodSeconds'];
  for (const list of ['initContainers', 'containers']) {
    for (const container of objectsIn(rest, list)) {
      delete container['image'];
      delete container['resources'];
      delete container['imagePullPolicy'];
    }
  }
  return rest;
}

/** Quality of service as the resources of all containers imply it. */
function qosClass(pod: JsonObject): string {
  const containers = ['initContainers', 'containers'].flatMap((list) => listAt(pod, 'spec', list));
  const amounts = (container: Json, kind: string): (Json | undefined)[] =>
    ['cpu', 'memory'].map((name) => at(container, 'resources', kind, name));
  const none = containers.every((container) =>
    [...amounts(container, 'limits'), ...amounts(container, 'requests')].every(
      (value) => value === undefined,
    ),
  );
  if (none) return 'BestEffort';
  const full = containers.every((container) => {
    const limits = amounts(container, 'limits');
    const requests = amounts(container, 'requests');
    return limits.every((limit, index) => limit !== undefined && deepEqual(limit, requests[index] ?? limit));
  });
  return full ? 'Guaranteed' : 'Burstable';
}

/** What Kubernetes writes for times and states that nobody has set. */
function defaultStatus(status: JsonObject): void {
  for (const condition of objectsIn(status, 'conditions')) {
    setDefault(condition, 'lastProbeTime', null);
    setDefault(condition, 'lastTransitionTime', null);
  }
  for (const list of ['containerStatuses', 'initContainerStatuses']) {
    for (const container of objectsIn(status, list)) {
      section(container, 'lastState');
      const running = at(section(container, 'state'), 'running');
      if (isObject(running)) setDefault(running, 'startedAt', null);
    }
  }
}

export const podRules: KindRules = {
  defaults(pod) {
    const spec = section(pod, 'spec');
    defaultPodSpec(spec);
    setDefault(spec, 'enableServiceLinks', true);
    defaultStatus(section(pod, 'status'));
  },
  initialStatus: (pod) => ({ phase: 'Pending', qosClass: qosClass(pod) }),
  validate(pod, faults, current) {
    validatePodSpec(pod['spec'], 'spec', faults);
    if (current === undefined) return;
    if (!deepEqual(immutablePart(pod['spec']), immutablePart(current['spec']))) {
      faults.forbidden(
        'spec',
        'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
      );
    }
  },
};
