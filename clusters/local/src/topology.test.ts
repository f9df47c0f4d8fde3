import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { MeshError } from '@mesh/errors/mesh-error';
import { parseTopology } from './topology.ts';

const topologies = join(import.meta.dirname, '..', '..', 'topologies');

function faults(text: string): string {
  try {
    parseTopology(text, 'test.yaml');
  } catch (thrown) {
    assert.ok(thrown instanceof MeshError && thrown.code === 'topology-invalid', String(thrown));
    return thrown.message;
  }
  return '';
}

const entry = (name: string, [pods, services, gateways]: readonly string[]): string =>
  `  - {name: ${name}, podCIDR: ${pods}, serviceCIDR: ${services}, gatewayCIDR: ${gateways}}\n`;
const networks = ['10.1.0.0/16', '10.101.0.0/16', '172.30.1.0/24'];

void test('every topology of the repository is allowed', () => {
  const files = readdirSync(topologies);
  assert.ok(files.includes('three.yaml'));
  for (const file of files) parseTopology(readFileSync(join(topologies, file), 'utf8'), file);
  const three = parseTopology(readFileSync(join(topologies, 'three.yaml'), 'utf8'), 'three.yaml');
  assert.deepEqual(three.clusters[2], {
    name: 'north',
    podCidr: '10.3.0.0/16',
    serviceCidr: '10.103.0.0/16',
    gatewayCidr: '172.30.3.0/24',
  });
});

void test('each fault is named, all at once', () => {
  const text = faults(
    `clusters:\n${entry('Bad_Name', networks)}${entry('east', ['10.1.0.1/16', '10.101.0.0/30', 'x'])}`,
  );
  assert.match(text, /clusters\[0\]\.name "Bad_Name" must be a DNS label/);
  assert.match(text, /clusters\[1\]\.podCIDR "10\.1\.0\.1\/16"/);
  assert.match(text, /clusters\[1\]\.serviceCIDR "10\.101\.0\.0\/30"/);
  assert.match(text, /clusters\[1\]\.gatewayCIDR "x"/);
});

void test('unknown keys, empty lists and other shapes are refused', () => {
  assert.match(
    faults('clusters:\n  - {name: a, podCidr: 10.1.0.0/16}\n'),
    /clusters\[0\]\.podCidr is unknown/,
  );
  assert.match(faults('clusters: []'), /at least one entry/);
  assert.match(faults('- a'), /at least one entry/);
  assert.match(faults('a: b: c'), /not YAML/);
  assert.match(faults('clusters: [east]'), /clusters\[0\] is not a mapping/);
});

void test('networks that could not work are refused', () => {
  assert.match(
    faults(
      `clusters:\n${entry('a', networks)}${entry('a', ['10.2.0.0/16', '10.102.0.0/16', '172.30.2.0/24'])}`,
    ),
    /the name a occurs twice/,
  );
  assert.match(
    faults(`clusters:\n${entry('a', ['10.1.0.0/16', '10.1.128.0/20', '172.30.1.0/24'])}`),
    /podCIDR and serviceCIDR overlap/,
  );
  assert.match(
    faults(`clusters:\n${entry('a', networks)}${entry('b', networks)}`),
    /gatewayCIDR of a and b overlap/,
  );
  assert.match(
    faults(
      `clusters:\n${entry('a', networks)}${entry('b', ['172.30.1.0/26', '10.102.0.0/16', '172.30.2.0/24'])}`,
    ),
    /a: gatewayCIDR 172\.30\.1\.0\/24 overlaps a prefix inside b/,
  );
  assert.match(
    faults(`clusters:\n${entry('a', ['100.64.0.0/16', '10.101.0.0/16', '172.30.1.0/24'])}`),
    /which the nodes use/,
  );
});

void test('pods and services of two clusters may have the same addresses', () => {
  const same = `clusters:\n${entry('a', networks)}${entry('b', ['10.1.0.0/16', '10.101.0.0/16', '172.30.2.0/24'])}`;
  assert.equal(faults(same), '');
});
