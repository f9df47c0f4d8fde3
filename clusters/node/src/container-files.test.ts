import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import fc from 'fast-check';
import { ContainerLog } from './container-log.ts';
import { launchScript } from './namespace-runtime.ts';
import { podEtc } from './pod-etc.ts';
import { flagsAt, parseMountInfo, RootBuilder } from './rootfs.ts';
import { becomeUser, containerUser } from './security.ts';
import { shellQuote } from './shell-quote.ts';

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'container-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

void test('a word survives a real shell, whatever it contains', () => {
  const words = fc
    .sample(fc.string({ unit: 'binary', maxLength: 30 }), 60)
    .map((word) => word.replaceAll('\0', ''));
  for (const word of [...words, "it's", '$(id)', '`id`', '\n', '', '\\', '"']) {
    const said = execFileSync('/bin/sh', ['-c', `printf %s ${shellQuote(word)}`]);
    assert.equal(said.toString('utf8'), Buffer.from(word).toString('utf8'));
  }
});

void test('the launch script gives a command exactly its words and its environment', (t) => {
  const file = join(directory(t), 'launch');
  const script = launchScript({
    container: {
      name: 'app',
      workingDir: '/tmp',
      command: ['sh', '-c', 'pwd; printf "%s|" "$0" "$A"', "it's"],
    },
    environment: new Map([
      ['PATH', '/usr/bin:/bin'],
      ['A', 'a b\n$c'],
    ]),
  });
  writeFileSync(file, script);
  const said = execFileSync('/bin/sh', [file], { env: {} }).toString('utf8');
  assert.equal(said, "/tmp\nit's|a b\n$c|");
});

void test('names that no shell can export reach the command all the same', (t) => {
  const file = join(directory(t), 'launch');
  const environment = new Map([['dotted.name', 'x y']]);
  writeFileSync(file, launchScript({ container: { name: 'app', command: ['env'] }, environment }));
  const said = execFileSync('/bin/sh', [file], { env: { PATH: '/usr/bin:/bin' } }).toString('utf8');
  assert.ok(said.split('\n').includes('dotted.name=x y'), said);
});

void test('log entries: one per line, whole characters, long lines in parts', async (t) => {
  const file = join(directory(t), 'ns', 'pod', 'app.log');
  const log = new ContainerLog({ file, maxBytes: 1_000_000, clock: new FakeClock() });
  const stream = new PassThrough();
  const done = log.follow(stream, 'stdout');
  for (const byte of Buffer.from('héllo\nwörld\nlast')) stream.write(Buffer.from([byte]));
  stream.end();
  await done;
  log.close();
  const stamp = '2026-01-01T00:00:00.000000000Z stdout F';
  assert.equal(readFileSync(file, 'utf8'), `${stamp} héllo\n${stamp} wörld\n${stamp} last\n`);
});

void test('logs rotate at their limit and keep one older file', async (t) => {
  const file = join(directory(t), 'app.log');
  const log = new ContainerLog({ file, maxBytes: 250, clock: new FakeClock() });
  const stream = new PassThrough();
  const done = log.follow(stream, 'stderr');
  for (let line = 0; line < 5; line++) {
    stream.write(`line ${line} ${'x'.repeat(60)}\n`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  stream.end();
  await done;
  log.close();
  const [older, newer] = [`${file}.1`, file].map((path) => readFileSync(path, 'utf8').split('\n').length - 1);
  assert.equal(older, 2);
  assert.equal(newer, 1);
});

void test('mount points and the flags that a user namespace may not drop', () => {
  const text = [
    '22 27 0:21 / /proc rw,relatime - proc proc rw',
    '27 1 254:0 / / rw,relatime - ext4 /dev/vda rw',
    '28 27 0:25 / /mnt/my\\040disk ro,nosuid,nodev,relatime - tmpfs none ro',
  ].join('\n');
  const points = parseMountInfo(text);
  assert.deepEqual(flagsAt(points, '/mnt/my disk/x'), ['nosuid', 'nodev', 'relatime']);
  assert.deepEqual(flagsAt(points, '/usr'), ['relatime']);
  assert.deepEqual(flagsAt(points, '/processes'), ['relatime']);
});

void test('a root binds the host read-only, and a volume inside another one after it', () => {
  const builder = new RootBuilder('27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n');
  const options = {
    root: '/run/x y/root',
    etc: '/run/etc',
    bundles: '/repo/dist',
    node: '/repo/node',
    launch: '/run/launch',
    workingDirectory: '/app',
    mounts: [
      { source: '/run/v/inner', target: '/data/inner', readOnly: false, kind: 'directory' as const },
      { source: '/run/v/outer', target: '/data', readOnly: true, kind: 'directory' as const },
    ],
  };
  const lines = builder.fstab(options).trim().split('\n');
  assert.equal(lines[0], 'proc /run/x\\040y/root/proc proc nosuid,nodev,noexec 0 0');
  assert.ok(lines.includes('/usr /run/x\\040y/root/usr none bind,ro,nosuid,nodev 0 0'));
  assert.ok(lines.includes('/dev/null /run/x\\040y/root/dev/null none bind 0 0'));
  assert.deepEqual(
    lines.slice(-2).map((line) => line.split(' ')[1]),
    ['/run/x\\040y/root/data', '/run/x\\040y/root/data/inner'],
  );
  const script = builder.script(options, '/run/fstab', ['setpriv', '--', '/bin/sh', '/.launch']);
  assert.match(script, /\[ -d \.\/app \] \|\| mkdir -p \.\/app/);
  assert.match(script, /pivot_root \. \.host\numount -n -l \/\.host\n/);
});

void test('users: defaults, and what is refused', () => {
  const pod = (securityContext: object): { spec: { containers: []; securityContext: object } } => ({
    spec: { containers: [], securityContext },
  });
  const user = (shared: object, own: object): unknown =>
    containerUser(pod(shared), { name: 'app', securityContext: own });
  assert.deepEqual(user({}, {}), { uid: 0, gid: 0, groups: [], capabilities: [] });
  assert.deepEqual(user({ runAsUser: 1, fsGroup: 5 }, { runAsUser: 2102, runAsGroup: 7 }), {
    uid: 2102,
    gid: 7,
    groups: [5],
    capabilities: [],
  });
  assert.deepEqual(user({ runAsNonRoot: true }, {}), { uid: 65534, gid: 0, groups: [], capabilities: [] });
  for (const own of [{ privileged: true }, { runAsNonRoot: true, runAsUser: 0 }, { runAsUser: 70_000 }]) {
    assert.match(JSON.stringify(user({}, own)), /"fault":"container \\"app\\"/);
  }
});

void test('capabilities: only those of a redirecting init container, everything else is dropped', () => {
  const user = containerUser(
    { spec: { containers: [] } },
    { name: 'init', securityContext: { capabilities: { add: ['NET_ADMIN', 'CAP_NET_RAW', 'SYS_ADMIN'] } } },
  );
  assert.ok(!('fault' in user));
  const words = becomeUser(user);
  assert.ok(words.includes('--bounding-set=-all,+net_admin,+net_raw'));
  assert.ok(words.includes('--no-new-privs'));
});

void test('/etc of a pod', () => {
  const files = podEtc({
    hostname: 'cart-1',
    address: '10.1.0.2',
    namespace: 'shop',
    dnsAddress: '10.101.0.10',
    clusterDomain: 'cluster.local',
    users: [{ uid: 2102, gid: 2102 }],
    dnsPolicy: 'ClusterFirst',
    dnsConfig: { searches: ['example.org'], options: [{ name: 'timeout', value: '1' }] },
    hostAliases: [{ ip: '192.0.2.1', hostnames: ['old'] }],
  });
  assert.equal(
    files.get('resolv.conf'),
    [
      'nameserver 10.101.0.10',
      'search shop.svc.cluster.local svc.cluster.local cluster.local example.org',
      'options ndots:5 timeout:1',
      '',
    ].join('\n'),
  );
  assert.match(files.get('hosts') ?? '', /10\.1\.0\.2\tcart-1\n192\.0\.2\.1\told/);
  assert.match(files.get('passwd') ?? '', /^mesh-proxy:x:2102:2102::\/tmp:\/bin\/sh$/m);
});
