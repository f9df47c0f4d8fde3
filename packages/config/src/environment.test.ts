import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MeshError } from '@mesh/errors/mesh-error';
import { duration, flag, integer, list, oneOf, readConfig, text } from './environment.ts';

const table = {
  MESH_NAME: text({ doc: 'A name.', pattern: /^[a-z]+$/ }),
  MESH_PORT: integer({ doc: 'A port.', default: 80, min: 1, max: 65_535 }),
  MESH_FAST: flag({ doc: 'Speed.', default: false }),
  MESH_MODE: oneOf(['a', 'b'], { doc: 'A mode.', default: 'a' }),
  MESH_WAIT: duration({ doc: 'A time.', default: '2s', min: '10ms', max: '1m' }),
  MESH_PORTS: list(integer({ doc: 'A port.', min: 1, max: 65_535 }), { doc: 'Ports.', default: '1,2' }),
};

function faultsOf(environment: Record<string, string>): MeshError {
  try {
    readConfig(table, environment);
  } catch (thrown) {
    assert.ok(thrown instanceof MeshError);
    return thrown;
  }
  return assert.fail('was accepted');
}

test('defaults, parsed and frozen', () => {
  const config = readConfig(table, { MESH_NAME: 'x', PATH: '/bin' });
  assert.deepEqual(config, {
    MESH_NAME: 'x',
    MESH_PORT: 80,
    MESH_FAST: false,
    MESH_MODE: 'a',
    MESH_WAIT: 2000,
    MESH_PORTS: [1, 2],
  });
  assert.ok(Object.isFrozen(config));
});

test('durations carry their unit', () => {
  for (const [value, ms] of [
    ['250ms', 250],
    ['10s', 10_000],
    ['1m', 60_000],
  ] as const) {
    assert.equal(readConfig(table, { MESH_NAME: 'x', MESH_WAIT: value }).MESH_WAIT, ms);
  }
});

const refused: readonly [string, Record<string, string>, RegExp][] = [
  ['config-missing', {}, /MESH_NAME is required/],
  ['config-invalid', { MESH_NAME: 'X' }, /MESH_NAME="X" is not allowed/],
  ['config-invalid', { MESH_NAME: 'x', MESH_PORT: '0' }, /a whole number from 1 to 65535/],
  ['config-invalid', { MESH_NAME: 'x', MESH_PORT: '80.5' }, /MESH_PORT="80.5"/],
  ['config-invalid', { MESH_NAME: 'x', MESH_PORT: '' }, /MESH_PORT=""/],
  ['config-invalid', { MESH_NAME: 'x', MESH_FAST: 'yes' }, /"true" or "false"/],
  ['config-invalid', { MESH_NAME: 'x', MESH_MODE: 'c' }, /"a", "b"/],
  ['config-invalid', { MESH_NAME: 'x', MESH_WAIT: '10' }, /MESH_WAIT="10".*from 10ms to 1m/],
  ['config-invalid', { MESH_NAME: 'x', MESH_WAIT: '2m' }, /from 10ms to 1m/],
  ['config-invalid', { MESH_NAME: 'x', MESH_PORTS: '1,x' }, /MESH_PORTS="1,x"/],
  ['config-unknown', { MESH_NAME: 'x', MESH_PROT: '1' }, /MESH_PROT is not a setting/],
];

for (const [code, environment, message] of refused) {
  test(`${code}: ${JSON.stringify(environment)}`, () => {
    const fault = faultsOf(environment);
    assert.equal(fault.code, code);
    assert.match(fault.message, message);
  });
}

test('every fault is listed at once', () => {
  assert.equal(faultsOf({ MESH_PORT: 'x', MESH_MODE: 'c', MESH_OTHER: '1' }).message.split('\n').length, 4);
});

test('what a kubelet adds for Services is nobody’s setting', () => {
  const links = {
    MESH_SHOP_SERVICE_HOST: '10.0.0.1',
    MESH_SHOP_SERVICE_PORT: '80',
    MESH_SHOP_SERVICE_PORT_HTTP: '80',
    MESH_SHOP_PORT: 'tcp://10.0.0.1:80',
    MESH_SHOP_PORT_80_TCP: 'tcp://10.0.0.1:80',
    MESH_SHOP_PORT_80_TCP_ADDR: '10.0.0.1',
  };
  assert.equal(readConfig(table, { MESH_NAME: 'x', ...links }).MESH_NAME, 'x');
});

test('a Service whose link has the name of a setting does not set it', () => {
  assert.equal(readConfig(table, { MESH_NAME: 'x', MESH_PORT: 'tcp://10.0.0.1:80' }).MESH_PORT, 80);
  assert.throws(() => readConfig(table, { MESH_NAME: 'x', MESH_PORT: 'http://10.0.0.1:80' }), /MESH_PORT/);
});
