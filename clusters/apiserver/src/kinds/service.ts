import { at, deepEqual, isObject, listAt, textAt, type JsonObject } from '../json.ts';
import { nameFault, validateLabels } from '../names.ts';
import type { KubeObject } from '../object.ts';
import { objectsIn, section, setDefault, type KindRules } from './rules.ts';

/** NodePort is left out: these clusters publish services at gateway addresses only. */
const types = ['ClusterIP', 'ExternalName', 'LoadBalancer'];
const protocols = ['SCTP', 'TCP', 'UDP'];

export function isHeadless(service: KubeObject): boolean {
  return textAt(service, 'spec', 'clusterIP') === 'None';
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
    setDefault(spec, 'ipFamilies', ['IPv4']);
    setDefault(spec, 'ipFamilyPolicy', 'SingleStack');
    setDefault(spec, 'internalTrafficPolicy', 'Cluster');
    if (spec['type'] === 'LoadBalancer') {
      setDefault(spec, 'externalTrafficPolicy', 'Cluster');
      spec['allocateLoadBalancerNodePorts'] = false;
    } else {
      delete spec['externalTrafficPolicy'];
      delete spec['allocateLoadBalancerNodePorts'];
    }
  },
  initialStatus: () => ({ loadBalancer: {} }),
  prepareUpdate(next, current) {
    const spec = section(next, 'spec');
    const type = spec['type'] ?? 'ClusterIP';
    const before = at(current, 'spec', 'clusterIP');
    // An address that is left out of an update is kept, so that `kubectl replace` of the original file works.
    if (type !== 'ExternalName' && before !== undefined && (spec['clusterIP'] ?? '') === '') {
      spec['clusterIP'] = before;
      spec['clusterIPs'] = at(current, 'spec', 'clusterIPs') ?? [before];
    }
  },
  validate(service, faults, current) {
    const spec: JsonObject = isObject(service['spec']) ? service['spec'] : {};
    const type = textAt(spec, 'type') ?? '';
    if (!types.includes(type)) faults.unsupported('spec.type', type, types);
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
      if (typeof number !== 'number' || !Number.isInteger(number) || number < 1 || number > 65535) {
        faults.invalid(`${field}.port`, number, 'must be between 1 and 65535, inclusive');
      }
      if (!protocols.includes(protocol)) faults.unsupported(`${field}.protocol`, protocol, protocols);
      const pair = `${String(number)}/${protocol}`;
      if (numbers.has(pair)) faults.duplicate(field, port);
      numbers.add(pair);
    }
    for (const family of listAt(spec, 'ipFamilies')) {
      if (family !== 'IPv4') faults.unsupported('spec.ipFamilies', family, ['IPv4']);
    }
    const before = at(current, 'spec', 'clusterIP');
    if (
      before !== undefined &&
      type !== 'ExternalName' &&
      at(current, 'spec', 'type') !== 'ExternalName' &&
      !deepEqual(before, spec['clusterIP'])
    ) {
      faults.invalid('spec.clusterIP', spec['clusterIP'], 'field is immutable');
    }
  },
};
