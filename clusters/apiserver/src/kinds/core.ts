/** Namespaces, Nodes, Secrets, ConfigMaps, Events and EndpointSlices. */
import type { Faults } from '../faults.ts';
import { at, deepEqual, isObject, listAt, textAt } from '../json.ts';
import { dataKeyFault, nameFault } from '../names.ts';
import type { KubeObject } from '../object.ts';
import { badRequest } from '../status.ts';
import { objectsIn, section, setDefault, type KindRules } from './rules.ts';

export const namespaceRules: KindRules = {
  defaults(namespace) {
    section(namespace.metadata, 'labels')['kubernetes.io/metadata.name'] = namespace.metadata.name;
    const spec = section(namespace, 'spec');
    if (namespace.metadata.uid === undefined) setDefault(spec, 'finalizers', ['kubernetes']);
  },
  initialStatus: () => ({ phase: 'Active' }),
  prepareUpdate(next, current) {
    // Only the finalize subresource changes these.
    section(next, 'spec')['finalizers'] = [...listAt(current, 'spec', 'finalizers')];
  },
};

/** What a node says of itself, before it has. */
const nodeInfo = {
  ...{
    machineID: '',
    systemUUID: '',
    bootID: '',
    kernelVersion: '',
    osImage: '',
    containerRuntimeVersion: '',
  },
  ...{ kubeletVersion: '', kubeProxyVersion: '', operatingSystem: '', architecture: '' },
};

export const nodeRules: KindRules = {
  // A node registers itself with its status.
  initialStatus: (node) => ({
    daemonEndpoints: { kubeletEndpoint: { Port: 0 } },
    nodeInfo: { ...nodeInfo },
    ...(isObject(node['status']) ? node['status'] : {}),
  }),
};

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

export const secretRules: KindRules = {
  defaults(secret) {
    setDefault(secret, 'type', 'Opaque');
    const plain = secret['stringData'];
    if (isObject(plain)) {
      const data = section(secret, 'data');
      for (const [name, value] of Object.entries(plain)) {
        data[name] = typeof value === 'string' ? Buffer.from(value).toString('base64') : value;
      }
    }
    delete secret['stringData'];
  },
  validate(secret, faults, current) {
    for (const [name, value] of Object.entries(isObject(secret['data']) ? secret['data'] : {})) {
      // Found when the object is decoded. The value itself must not be shown.
      if (typeof value !== 'string' || !base64.test(value)) {
        throw badRequest(
          'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 0',
        );
      }
      const fault = dataKeyFault(name);
      if (fault !== undefined) faults.invalid(`data[${name}]`, name, fault);
    }
    if (current !== undefined && current['type'] !== secret['type']) {
      faults.invalid('type', secret['type'], 'field is immutable');
    }
    validateImmutable(secret, faults, current);
  },
};

export const configMapRules: KindRules = {
  validate(map, faults, current) {
    const data = isObject(map['data']) ? map['data'] : {};
    for (const [name, value] of Object.entries(data)) {
      const fault = dataKeyFault(name);
      if (fault !== undefined) faults.invalid(`data[${name}]`, name, fault);
      if (typeof value !== 'string') faults.typeInvalid(`data[${name}]`, value, 'must be a string');
      if (at(map, 'binaryData', name) !== undefined) {
        faults.invalid(`data[${name}]`, name, 'duplicate of key present in binaryData');
      }
    }
    validateImmutable(map, faults, current);
  },
};

function validateImmutable(object: KubeObject, faults: Faults, current: KubeObject | undefined): void {
  if (current?.['immutable'] !== true) return;
  const same = (name: string): boolean => deepEqual(object[name], current[name]);
  if (object['immutable'] !== true || !same('data') || !same('binaryData')) {
    faults.forbidden('data', 'field is immutable when `immutable` is set');
  }
}

const addressTypes = ['FQDN', 'IPv4', 'IPv6'];

export const endpointSliceRules: KindRules = {
  defaults(slice) {
    if (slice['endpoints'] === undefined || slice['endpoints'] === null) slice['endpoints'] = [];
    for (const endpoint of objectsIn(slice, 'endpoints')) section(endpoint, 'conditions');
    for (const port of objectsIn(slice, 'ports')) {
      setDefault(port, 'name', '');
      setDefault(port, 'protocol', 'TCP');
    }
  },
  validate(slice, faults, current) {
    const type = textAt(slice, 'addressType');
    if (type === undefined) faults.required('addressType');
    else if (!addressTypes.includes(type)) faults.unsupported('addressType', type, addressTypes);
    if (current !== undefined && current['addressType'] !== type) {
      faults.invalid('addressType', type, 'field is immutable');
    }
    const endpoints = listAt(slice, 'endpoints');
    if (endpoints.length > 1000) {
      faults.invalid('endpoints', endpoints.length, 'must have at most 1000 items');
    }
    for (const [index, endpoint] of endpoints.entries()) {
      if (listAt(endpoint, 'addresses').length === 0) {
        faults.required(`endpoints[${index}].addresses`, 'must contain at least 1 address');
      }
    }
    const names = new Set<string>();
    for (const [index, port] of listAt(slice, 'ports').entries()) {
      const name = textAt(port, 'name') ?? '';
      const fault = name === '' ? undefined : nameFault(name, 'label');
      if (fault !== undefined) faults.invalid(`ports[${index}].name`, name, fault);
      if (names.has(name)) faults.duplicate(`ports[${index}].name`, name);
      names.add(name);
    }
  },
};

export const eventRules: KindRules = {
  validate(event, faults) {
    const namespace = textAt(event, 'involvedObject', 'namespace') ?? '';
    const expected = namespace === '' ? 'default' : namespace;
    if (event.metadata.namespace !== expected) {
      faults.invalid('involvedObject.namespace', namespace, 'does not match event.namespace');
    }
  },
};
