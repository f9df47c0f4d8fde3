import { at, deepEqual, isObject, listAt, objectAt, textAt, type Json, type JsonObject } from '../json.ts';
import { nameFault, validateLabels } from '../names.ts';
import type { KubeObject } from '../object.ts';
import { objectsIn, section, setDefault, type KindRules } from './rules.ts';

const types = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const protocols = ['SCTP', 'TCP', 'UDP'];

export function isHeadless(service: KubeObject): boolean {
  return textAt(service, 'spec', 'clusterIP') === 'None';
}

/** Whether services of this type are reachable at ports of the nodes, or may be. */
export function hasNodePorts(spec: JsonObject): boolean {
  return spec['type'] === 'LoadBalancer' || spec['type'] === 'NodePort';
}

export const serviceRules: KindRules = {
  defaults(service) {
    const spec = section(service, 'spec');
    setDefault(spec, 'type', 'ClusterIP');
    setDefault(spec, 'sessionAffinity', 'None');
    for (const port of objectsIn(spec, 'ports')) {
      setDefault(port, 'protocol', 'TCP');
      if (port['port'] !== undefined) setDefault(port, 'targetPort', port['port']);
    }
    if (spec['type'] === 'ExternalName') return;
    const first = listAt(spec, 'clusterIPs')[0];
    if (typeof first === 'string') setDefault(spec, 'clusterIP', first);
    if (spec['clusterIP'] === 'None') spec['clusterIPs'] = ['None'];
    // Without pods to select, only whoever writes the endpoints knows their family.
    const anyFamily =
      spec['clusterIP'] === 'None' && Object.keys(objectAt(spec, 'selector') ?? {}).length === 0;
    setDefault(spec, 'ipFamilyPolicy', anyFamily ? 'RequireDualStack' : 'SingleStack');
    setDefault(spec, 'ipFamilies', anyFamily ? ['IPv4', 'IPv6'] : ['IPv4']);
    setDefault(spec, 'internalTrafficPolicy', 'Cluster');
    if (spec['type'] === 'LoadBalancer') setDefault(spec, 'allocateLoadBalancerNodePorts', true);
    else delete spec['allocateLoadBalancerNodePorts'];
    if (hasNodePorts(spec)) setDefault(spec, 'externalTrafficPolicy', 'Cluster');
    else delete spec['externalTrafficPolicy'];
    for (const ingress of objectsIn(section(section(service, 'status'), 'loadBalancer'), 'ingress')) {
      if (ingress['ip'] !== undefined) setDefault(ingress, 'ipMode', 'VIP');
    }
  },
  initialStatus: () => ({ loadBalancer: {} }),
  prepareUpdate(next, current) {
    const spec = section(next, 'spec');
    keepNodePorts(spec, current);
    const type = spec['type'] ?? 'ClusterIP';
    const before = at(current, 'spec', 'clusterIP');
    const named = spec['clusterIP'];
    // Who changes the one address means the first of the list, too.
    if (type !== 'ExternalName' && typeof named === 'string' && named !== '' && named !== before) {
      if (deepEqual(spec['clusterIPs'], at(current, 'spec', 'clusterIPs'))) spec['clusterIPs'] = [named];
    }
    // An address that is left out of an update is kept, so that `kubectl replace` of the original file works.
    if (type !== 'ExternalName' && before !== undefined && (spec['clusterIP'] ?? '') === '') {
      spec['clusterIP'] = before;
      spec['clusterIPs'] = at(current, 'spec', 'clusterIPs') ?? [before];
    }
  },
  validate(service, faults, current) {
    const spec: JsonObject = isObject(service['spec']) ? service['spec'] : {};
    const type = textAt(spec, 'type') ?? '';
    validateLabels(spec['selector'], 'spec.selector', faults);
    const ports = listAt(spec, 'ports');
    if (ports.length === 0 && type !== 'ExternalName' && !isHeadless(service)) faults.required('spec.ports');
    if (type === 'ExternalName' && (textAt(spec, 'externalName') ?? '') === '') {
      faults.required('spec.externalName');
    }
    const names = new Set<string>();
    const numbers = new Set<string>();
    for (const [index, port] of ports.entries()) {
      const field = `spec.ports[${index}]`;
      const name = textAt(port, 'name') ?? '';
      const number = at(port, 'port');
      const protocol = textAt(port, 'protocol') ?? '';
      if (name === '' && ports.length > 1) faults.required(`${field}.name`);
      const fault = name === '' ? undefined : nameFault(name, 'label');
      if (fault !== undefined) faults.invalid(`${field}.name`, name, fault);
      if (name !== '' && names.has(name)) faults.duplicate(`${field}.name`, name);
      names.add(name);
      for (const member of ['port', 'targetPort']) {
        const value = at(port, member);
        if (member === 'targetPort' && typeof value === 'string') continue;
        if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 65535) {
          faults.invalid(`${field}.${member}`, value, 'must be between 1 and 65535, inclusive');
        }
      }
      if (!protocols.includes(protocol)) faults.unsupported(`${field}.protocol`, protocol, protocols);
      const pair = `${String(number)}/${protocol}`;
      if (numbers.has(pair)) faults.duplicate(field, port);
      numbers.add(pair);
    }
    if (!types.includes(type)) faults.unsupported('spec.type', type, types);
    for (const family of isHeadless(service) ? [] : listAt(spec, 'ipFamilies')) {
      if (family !== 'IPv4') faults.unsupported('spec.ipFamilies', family, ['IPv4']);
    }
    const before = at(current, 'spec', 'clusterIP');
    if (
      before !== undefined &&
      type !== 'ExternalName' &&
      at(current, 'spec', 'type') !== 'ExternalName' &&
      !deepEqual(before, spec['clusterIP'])
    ) {
      faults.invalid('spec.clusterIPs[0]', spec['clusterIPs'], 'may not change once set');
    }
  },
};

/** A port keeps its node port, unless the update names another. */
function keepNodePorts(spec: JsonObject, current: KubeObject): void {
  if (!hasNodePorts(spec)) return;
  const key = (port: Json): string => `${String(at(port, 'port'))}/${textAt(port, 'protocol') ?? 'TCP'}`;
  const known = new Map(listAt(current, 'spec', 'ports').map((port) => [key(port), at(port, 'nodePort')]));
  for (const port of objectsIn(spec, 'ports')) {
    const before = known.get(key(port));
    if (before !== undefined) setDefault(port, 'nodePort', before);
  }
}
