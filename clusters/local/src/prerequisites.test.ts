import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MeshError } from '@mesh/errors/mesh-error';
import { checkPrerequisites, worldNamespaces, type Machine } from './prerequisites.ts';

const range = 'someone:1:2\ntester:100000:65536\n';

function machine(over: Partial<Machine> & { files?: Record<string, string>; lacks?: string[] }): Machine {
  const { files = {}, lacks = [], ...rest } = over;
  const present: Record<string, string> = { '/etc/subuid': range, '/etc/subgid': range, ...files };
  return {
    uid: 1001,
    userName: 'tester',
    hasCommand: (name) => !lacks.includes(name),
    file: (path) => present[path],
    trial: () => undefined,
    ...rest,
  };
}

function refusal(over: Parameters<typeof machine>[0]): MeshError {
  try {
    checkPrerequisites(machine(over));
  } catch (thrown) {
    assert.ok(thrown instanceof MeshError, String(thrown));
    return thrown;
  }
  assert.fail('nothing was refused');
}

void test('a machine that has everything', () => {
  checkPrerequisites(machine({}));
  checkPrerequisites(machine({ uid: 0, files: { '/etc/subuid': '' }, lacks: ['newuidmap', 'newgidmap'] }));
});

void test('missing tools: the exact command, each package once', () => {
  const user = refusal({ lacks: ['iptables-restore', 'newuidmap', 'newgidmap', 'ip'] });
  assert.equal(user.code, 'packages-missing');
  assert.equal(user.remedy, 'sudo apt-get install -y iproute2 iptables uidmap');
  assert.equal(refusal({ uid: 0, lacks: ['iptables-restore'] }).remedy, 'apt-get install -y iptables');
});

void test('no range of ids: who, where and what to do', () => {
  const { message, remedy } = refusal({ files: { '/etc/subgid': 'tester:100000:1000\n' } });
  assert.match(message, /\/etc\/subgid has no range of 65536 ids for user tester/);
  assert.equal(remedy, 'sudo usermod --add-subgids 100000-165535 tester');
});

void test('a range may be given by number', () => {
  checkPrerequisites(machine({ files: { '/etc/subuid': '1001:1:65536\n' } }));
});

void test('forbidden namespaces: the setting that forbids them', () => {
  const trial = (): string => 'unshare: unshare failed: Operation not permitted';
  const setting = (name: string, value: string): MeshError =>
    refusal({ trial, files: { [`/proc/sys/${name.replaceAll('.', '/')}`]: `${value}\n` } });
  const clone = setting('kernel.unprivileged_userns_clone', '0');
  assert.equal(clone.code, 'namespaces-forbidden');
  assert.match(clone.message, /Operation not permitted \(kernel\.unprivileged_userns_clone = 0\)/);
  assert.equal(clone.remedy, 'sudo sysctl -w kernel.unprivileged_userns_clone=1');
  assert.equal(
    setting('kernel.apparmor_restrict_unprivileged_userns', '1').remedy,
    'sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0',
  );
  assert.equal(
    setting('user.max_user_namespaces', '0').remedy,
    'sudo sysctl -w user.max_user_namespaces=15000',
  );
  assert.match(setting('user.max_user_namespaces', '1000').remedy ?? '', /--privileged/);
});

void test('only ordinary users need a user namespace', () => {
  assert.ok(!worldNamespaces(0).includes('--user'));
  assert.ok(worldNamespaces(1001).includes('--map-auto'));
});
