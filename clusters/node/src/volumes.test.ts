import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { ConfigMap, Container, Pod } from '@mesh/kube/types';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import type { ClusterData } from './environment.ts';
import { PodVolumes } from './pod-volumes.ts';
import { volumeContent } from './volume-files.ts';

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'volumes-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

function setup(t: TestContext, volumes: NonNullable<Pod['spec']>['volumes']) {
  const maps = new Map<string, ConfigMap>();
  const data: ClusterData = {
    configMap: (_namespace, name) => maps.get(name),
    secret: () => undefined,
    services: () => [],
  };
  const clock = new FakeClock();
  const pod: Pod = {
    metadata: { name: 'p', namespace: 'shop', uid: 'u', labels: { app: 'p' } },
    spec: { containers: [], ...(volumes !== undefined && { volumes }) },
  };
  const path = directory(t);
  let issued = 0;
  let broken = false;
  let gate: Promise<void> | undefined;
  const errors: unknown[] = [];
  const podVolumes = new PodVolumes({
    directory: path,
    context: { pod, podIp: '10.1.0.2', hostIp: '100.64.255.1', data },
    issue: async (_pod, { expirationSeconds }) => {
      await gate;
      if (broken) throw new Error('the API server is away');
      return {
        token: `token-${++issued}`,
        expiresAt: clock.wall() + expirationSeconds * 1000,
      };
    },
    clock,
    onError: (error) => errors.push(error),
  });
  t.after(() => podVolumes.close());
  return {
    ...{ maps, clock, path, podVolumes, errors },
    breakApi: () => {
      broken = true;
    },
    /** Tokens wait for what it returns to be called. */
    holdTokens: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      gate = promise;
      return resolve;
    },
    read: (file: string) => readFileSync(join(path, file), 'utf8'),
  };
}

const tokenVolume = {
  name: 'token',
  projected: {
    sources: [{ serviceAccountToken: { path: 'token', audience: 'a', expirationSeconds: 1000 } }],
  },
};

void test('a ConfigMap volume follows its source, and swaps all files at once', async (t) => {
  const { maps, podVolumes, read, path } = setup(t, [{ name: 'cfg', configMap: { name: 'settings' } }]);
  assert.deepEqual(await podVolumes.refresh(), { fault: 'configmap "settings" not found' });
  maps.set('settings', { data: { a: '1', b: '1' } });
  assert.equal(await podVolumes.refresh(), undefined);
  assert.equal(read('cfg/a') + read('cfg/b'), '11');
  maps.set('settings', { data: { a: '2', b: '2' } });
  await podVolumes.refresh();
  assert.equal(read('cfg/a') + read('cfg/b'), '22');
  const generations = readdirSync(join(path, 'cfg')).filter((name) => /^\.\.\d/.test(name));
  assert.equal(generations.length, 1, 'the old generation is gone');
  maps.set('settings', { data: { b: '3' } });
  await podVolumes.refresh();
  const names = readdirSync(join(path, 'cfg')).filter((name) => !name.startsWith('..'));
  assert.deepEqual(names, ['b'], 'what is gone from the source leaves no name behind');
});

void test('a pod that ends while its token is on the way gets nothing written any more', async (t) => {
  const { holdTokens, path, podVolumes } = setup(t, [tokenVolume]);
  const release = holdTokens();
  const refreshed = podVolumes.refresh();
  const closed = podVolumes.close();
  release();
  await closed;
  assert.deepEqual(readdirSync(path), [], 'close waits for the writing, which gives up');
  assert.equal(await refreshed, undefined);
});

void test('what cannot be written is a fault, and tried again when asked', async (t) => {
  const { maps, path, podVolumes, errors, read } = setup(t, [
    { name: 'cfg', configMap: { name: 'settings' } },
  ]);
  maps.set('settings', { data: { a: '1' } });
  writeFileSync(join(path, 'cfg'), 'a file in the way');
  assert.match((await podVolumes.refresh())?.fault ?? '', /EEXIST/);
  podVolumes.refreshBehind();
  await eventually('it is told', () => errors.length === 1);
  rmSync(join(path, 'cfg'));
  assert.equal(await podVolumes.refresh(), undefined);
  assert.equal(read('cfg/a'), '1');
});

void test('a token is renewed after 80 % of its life', async (t) => {
  const { clock, podVolumes, read } = setup(t, [tokenVolume]);
  await podVolumes.refresh();
  assert.equal(read('token/token'), 'token-1');
  await clock.advanceAsync(799_000);
  assert.equal(read('token/token'), 'token-1');
  await clock.advanceAsync(2000);
  await podVolumes.refresh();
  assert.equal(read('token/token'), 'token-2');
});

void test('a token that cannot be renewed stays, and is tried again', async (t) => {
  const { clock, podVolumes, read, breakApi, errors } = setup(t, [tokenVolume]);
  await podVolumes.refresh();
  breakApi();
  await clock.advanceAsync(801_000);
  assert.equal(await podVolumes.refresh(), undefined);
  assert.equal(read('token/token'), 'token-1');
  assert.equal(errors.length, 1);
});

void test('emptyDir is writable for any user, other volumes are read-only', async (t) => {
  const { podVolumes, path, maps } = setup(t, [
    { name: 'work', emptyDir: {} },
    { name: 'cfg', configMap: { name: 'settings' } },
  ]);
  maps.set('settings', { data: { a: '1' } });
  await podVolumes.refresh();
  assert.equal(statSync(join(path, 'work')).mode & 0o777, 0o777);
  const mounts = podVolumes.mounts(
    {
      name: 'app',
      volumeMounts: [
        { name: 'work', mountPath: '/work/' },
        { name: 'cfg', mountPath: '/etc/app.conf', subPath: 'a' },
      ],
    },
    new Map(),
  );
  assert.deepEqual(mounts, [
    { source: join(path, 'work'), target: '/work', readOnly: false, kind: 'directory' },
    { source: join(path, 'cfg', 'a'), target: '/etc/app.conf', readOnly: true, kind: 'file' },
  ]);
});

void test('what a pod must not name is refused', async (t) => {
  const { podVolumes } = setup(t, [{ name: 'work', emptyDir: {} }]);
  await podVolumes.refresh();
  const mount = (name: string, subPath: string): unknown =>
    podVolumes.mounts({ name: 'app', volumeMounts: [{ name, mountPath: '/x', subPath }] }, new Map());
  assert.match(JSON.stringify(mount('work', '../../etc')), /must be relative without/);
  assert.match(JSON.stringify(mount('other', '')), /names no volume/);
  const context = {
    pod: { spec: { containers: [] } },
    podIp: '',
    hostIp: '',
    data: { configMap: () => ({ data: { a: '1' } }), secret: () => undefined, services: () => [] },
  };
  assert.match(
    JSON.stringify(volumeContent({ name: 'h', hostPath: { path: '/' } }, context)),
    /type hostPath is not supported/,
  );
  const escape = { name: 'c', configMap: { name: 'x', items: [{ key: 'a', path: '../a' }] } };
  assert.match(JSON.stringify(volumeContent(escape, context)), /must be relative/);
});

void test('no mount leads out of its volume or its container, whatever links a container has left behind', async (t) => {
  const { maps, podVolumes, path } = setup(t, [
    { name: 'data', emptyDir: {} },
    { name: 'cfg', configMap: { name: 'settings' } },
  ]);
  maps.set('settings', { data: { a: '1' } });
  assert.equal(await podVolumes.refresh(), undefined);
  const outside = directory(t);
  symlinkSync(outside, join(path, 'data', 'out'));
  symlinkSync(join(outside, 'missing'), join(path, 'data', 'nowhere'));
  mkdirSync(join(path, 'data', 'real'));
  symlinkSync('real', join(path, 'data', 'in'));
  const mounts = (...volumeMounts: NonNullable<Container['volumeMounts']>) =>
    podVolumes.mounts({ name: 'app', image: 'none', volumeMounts }, new Map());
  for (const subPath of ['out', 'out/new', 'nowhere', 'nowhere/new']) {
    const refused = mounts({ name: 'data', mountPath: '/data', subPath });
    assert.deepEqual(refused, { fault: `volumeMount "data": subPath ${subPath} leads out of the volume` });
  }
  assert.deepEqual(readdirSync(outside), [], 'nothing is made there either');
  assert.ok(Array.isArray(mounts({ name: 'data', mountPath: '/data', subPath: 'in/new' })));
  assert.ok(Array.isArray(mounts({ name: 'cfg', mountPath: '/etc/a', subPath: 'a' })));
  const climbing = mounts({ name: 'data', mountPath: '/../../a//b/' });
  assert.ok(Array.isArray(climbing));
  assert.equal(climbing[0]?.target, '/a/b');
  assert.deepEqual(mounts({ name: 'data', mountPath: '/..' }), {
    fault: 'volumeMount "data": mountPath may not be the root',
  });
  assert.deepEqual(
    mounts({ name: 'cfg', mountPath: '/data/out/bin' }, { name: 'data', mountPath: '/data' }),
    {
      fault: 'mountPath /data/out/bin leads through a link in the volume at /data',
    },
  );
  for (const mountPath of ['/usr/bin', '/bin', '/a/../lib64/', '/etc/ld.so.preload', '/etc', '/.host']) {
    const refused = mounts({ name: 'data', mountPath });
    assert.ok(
      'fault' in refused && refused.fault.endsWith('holds programs of the node, which make the container'),
    );
  }
  for (const mountPath of ['/usr/share/x', '/etc/app', '/libexec', '/dev/shm']) {
    assert.ok(Array.isArray(mounts({ name: 'data', mountPath })), mountPath);
  }
  const nested = mounts({ name: 'cfg', mountPath: '/data/real/cfg' }, { name: 'data', mountPath: '/data' });
  assert.ok(Array.isArray(nested));
});
