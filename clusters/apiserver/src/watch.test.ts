import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { systemClock } from '@mesh/clock/system';
import { configMap, startFixture } from './api-fixture.ts';
import { at, textAt } from './json.ts';

const maps = '/api/v1/namespaces/default/configmaps';

test('a watch shows the present, then each change, and resumes from a version', async (t) => {
  const api = await startFixture(t);
  const created = await api.call(maps, { body: configMap('a', { x: '1' }) });
  const watch = await api.watch(`${maps}?watch=true`);
  const initial = await watch.next();
  assert.equal(initial.type, 'ADDED');
  await api.patch(`${maps}/a`, 'merge', { data: { x: '2' } });
  const changed = await watch.next();
  assert.deepEqual([changed.type, at(changed.object, 'data', 'x')], ['MODIFIED', '2']);
  await api.call(`${maps}/a`, { method: 'DELETE' });
  const deleted = await watch.next();
  assert.equal(deleted.type, 'DELETED');
  assert.ok(
    Number(textAt(deleted.object, 'metadata', 'resourceVersion')) >
      Number(textAt(changed.object, 'metadata', 'resourceVersion')),
    'the deletion has a version of its own',
  );
  watch.close();

  const version = textAt(created.body, 'metadata', 'resourceVersion') ?? '';
  const resumed = await api.watch(`${maps}?watch=1&resourceVersion=${version}`);
  assert.deepEqual([(await resumed.next()).type, (await resumed.next()).type], ['MODIFIED', 'DELETED']);
  resumed.close();
});

test('objects enter and leave the view of a selector', async (t) => {
  const api = await startFixture(t);
  await api.call(maps, { body: configMap('a') });
  const watch = await api.watch(`${maps}?watch=true&labelSelector=on%3Dyes`);
  await api.patch(`${maps}/a`, 'merge', { metadata: { labels: { on: 'yes' } } });
  assert.equal((await watch.next()).type, 'ADDED');
  await api.patch(`${maps}/a`, 'merge', { data: { x: '1' } });
  assert.equal((await watch.next()).type, 'MODIFIED');
  await api.patch(`${maps}/a`, 'merge', { metadata: { labels: { on: 'no' } } });
  const left = await watch.next();
  assert.deepEqual([left.type, at(left.object, 'metadata', 'labels', 'on')], ['DELETED', 'yes']);
  watch.close();
});

test('a version older than the window gets an error event with 410', async (t) => {
  const api = await startFixture(t, { limits: { apiserver_watch_window: 4 } });
  await api.call(maps, { body: configMap('a') });
  for (let index = 0; index < 8; index++) {
    await api.patch(`${maps}/a`, 'merge', { data: { index: String(index) } });
  }
  const watch = await api.watch(`${maps}?watch=true&resourceVersion=1`);
  const { type, object } = await watch.next();
  assert.deepEqual([type, object['code'], object['reason']], ['ERROR', 410, 'Expired']);
  await watch.ended;
});

test('bookmarks come every minute, and one ends the initial events when asked for', async (t) => {
  const clock = new FakeClock();
  const api = await startFixture(t, {
    clock: { ...systemClock, every: clock.every.bind(clock), after: clock.after.bind(clock) },
  });
  await api.call(maps, { body: configMap('a') });
  const watch = await api.watch(
    `${maps}?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan`,
  );
  assert.equal((await watch.next()).type, 'ADDED');
  const end = await watch.next();
  assert.equal(end.type, 'BOOKMARK');
  assert.equal(at(end.object, 'metadata', 'annotations', 'k8s.io/initial-events-end'), 'true');
  clock.advance(60_000);
  const bookmark = await watch.next();
  assert.equal(bookmark.type, 'BOOKMARK');
  assert.equal(textAt(bookmark.object, 'metadata', 'resourceVersion'), String(api.server.store.version));
  watch.close();
});

test('a watch ends after its timeout', async (t) => {
  const clock = new FakeClock();
  const api = await startFixture(t, { clock: { ...systemClock, after: clock.after.bind(clock) } });
  const watch = await api.watch(`${maps}?watch=true&timeoutSeconds=5`);
  clock.advance(5000);
  await watch.ended;
});

test('a watcher that does not read is cut off, and nobody else', async (t) => {
  const api = await startFixture(t, { limits: { apiserver_watch_queue: 10 } });
  const slow = await api.watch(`${maps}?watch=true`, { reading: false });
  const quick = await api.watch(`${maps}?watch=true`);
  const filler = 'x'.repeat(1_000_000);
  await api.call(maps, { body: configMap('a') });
  assert.equal((await quick.next()).type, 'ADDED');
  for (let index = 0; api.server.limits.hits('apiserver_watch_queue') === 0; index++) {
    assert.ok(index < 60, 'the slow watcher is still being fed');
    await api.patch(`${maps}/a`, 'merge', { data: { filler: `${index}${filler}` } });
    assert.equal((await quick.next()).type, 'MODIFIED');
  }
  assert.equal(api.server.limits.hits('apiserver_watch_queue'), 1);
  slow.close();
  quick.close();
});
