import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { LimitLedger } from '@mesh/limits/limits';
import { configMap, startFixture } from './api-fixture.ts';
import { Journal } from './journal.ts';
import { at, textAt } from './json.ts';
import { apiserverLimits } from './limits.ts';
import type { KubeObject } from './object.ts';
import { Store } from './store.ts';

const maps = '/api/v1/namespaces/default/configmaps';

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-journal-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function object(name: string, value: string): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'default', uid: name, resourceVersion: '', creationTimestamp: '' },
    data: { value },
  };
}

test('a restart keeps objects, versions, addresses, tokens and watches', async (t) => {
  const directory = directoryOf(t);
  const before = await startFixture(t, { directory });
  const created = await before.call(maps, { body: configMap('a', { x: '1' }) });
  await before.call(`/api/v1/namespaces/default/serviceaccounts`, {
    body: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'sa' } },
  });
  const token = await before.call('/api/v1/namespaces/default/serviceaccounts/sa/token', {
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
  });
  await before.patch(`${maps}/a`, 'merge', { data: { x: '2' } });
  const { version } = before.server.store;
  await before.server.close();

  const after = await startFixture(t, { directory });
  assert.equal(after.server.store.version, version, 'a restart writes nothing');
  const read = await after.call(`${maps}/a`);
  assert.equal(at(read.body, 'data', 'x'), '2');
  assert.equal(at(read.body, 'metadata', 'uid'), at(created.body, 'metadata', 'uid'));
  const watch = await after.watch(
    `${maps}?watch=true&resourceVersion=${textAt(created.body, 'metadata', 'resourceVersion') ?? ''}`,
  );
  assert.equal((await watch.next()).type, 'MODIFIED', 'the watch resumes where it was');
  watch.close();
  const who = await after.call('/apis/authentication.k8s.io/v1/selfsubjectreviews', {
    credential: null,
    token: textAt(token.body, 'status', 'token') ?? '',
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
  });
  assert.equal(textAt(who.body, 'status', 'userInfo', 'username'), 'system:serviceaccount:default:sa');
});

test('a snapshot replaces the journal, and older versions are gone after a restart', (t) => {
  const directory = directoryOf(t);
  const limits = new LimitLedger(apiserverLimits, { apiserver_journal_entries: 5 });
  const store = new Store({ limits, journal: new Journal(directory) });
  for (let index = 0; index < 5; index++) store.create('/configmaps', object(`m${index}`, 'x'));
  assert.equal(readFileSync(join(directory, 'journal.jsonl'), 'utf8'), '');
  store.create('/configmaps', object('late', 'y'));
  store.close();
  const again = new Store({ limits, journal: new Journal(directory) });
  t.after(() => again.close());
  assert.equal(again.version, 6);
  assert.equal(again.list('/configmaps').length, 6);
  assert.equal(again.eventsAfter('/configmaps', 4), undefined);
  assert.equal(again.eventsAfter('/configmaps', 5)?.length, 1);
});

test('a torn last line is cut off; a damaged line before it is refused by name', (t) => {
  const directory = directoryOf(t);
  const limits = new LimitLedger(apiserverLimits);
  const path = join(directory, 'journal.jsonl');
  const store = new Store({ limits, journal: new Journal(directory) });
  store.create('/configmaps', object('a', 'x'));
  store.close();
  const whole = statSync(path).size;
  appendFileSync(path, '{"version":2,"type":"ADD');
  const again = new Store({ limits, journal: new Journal(directory) });
  assert.equal(again.version, 1);
  assert.equal(statSync(path).size, whole);
  again.close();
  writeFileSync(path, `nonsense\n${readFileSync(path, 'utf8')}`);
  const damaged = new Journal(directory);
  t.after(() => damaged.close());
  assert.throws(() => damaged.load(), { code: 'journal-corrupt' });
});

test('what a full disk takes only in part is not there, and what comes when there is room again is', (t) => {
  const directory = directoryOf(t);
  // A limit on the size of files does to the last write what a full disk does.
  const script = `
    import { Journal } from ${JSON.stringify(new URL('./journal.ts', import.meta.url).href)};
    const journal = new Journal(${JSON.stringify(directory)});
    journal.load();
    const entry = (version, text) => ({ version, type: 'ADDED', resource: '/x', key: 'x', object: { text } });
    let version = 0;
    try {
      for (;;) journal.append(entry(version + 1, 'x'.repeat(1400))), version++;
    } catch {}
    journal.append(entry(version + 1, 'small'));
    console.log(version + 1);
  `;
  const command = 'ulimit -f 8; exec "$0" --input-type=module -e "$1"';
  const { stdout, stderr } = spawnSync('sh', ['-c', command, process.execPath, script], { encoding: 'utf8' });
  assert.match(stdout, /^\d+$/m, stderr);
  const journal = new Journal(directory);
  t.after(() => journal.close());
  const { entries } = journal.load();
  assert.ok(entries.length > 1);
  assert.equal(entries.length, Number(stdout));
  assert.deepEqual(entries.at(-1)?.object, { text: 'small' });
});

test('a snapshot that cannot be written takes no event from those who watch', (t) => {
  const directory = directoryOf(t);
  const limits = new LimitLedger(apiserverLimits, { apiserver_journal_entries: 2 });
  const faults: unknown[] = [];
  const onFault = (fault: unknown) => faults.push(fault);
  const store = new Store({ limits, journal: new Journal(directory), onFault });
  const seen: string[] = [];
  store.subscribe(({ object: { metadata } }) => seen.push(metadata.name));
  mkdirSync(join(directory, 'snapshot.json.next'));
  for (const name of ['a', 'b', 'c']) assert.equal(store.create('/x', object(name, '')).kind, 'ok');
  store.close();
  assert.deepEqual(seen, ['a', 'b', 'c']);
  assert.equal(faults.length, 1, 'it is tried again after as many entries');
  const again = new Store({ limits, journal: new Journal(directory) });
  t.after(() => again.close());
  assert.equal(again.list('/x').length, 3);
});

test('lines that a snapshot already holds are skipped', (t) => {
  const directory = directoryOf(t);
  const limits = new LimitLedger(apiserverLimits);
  const store = new Store({ limits, journal: new Journal(directory) });
  const made = store.create('/configmaps', object('a', 'x'));
  assert.equal(made.kind, 'ok');
  const lines = readFileSync(join(directory, 'journal.jsonl'), 'utf8');
  if (made.kind === 'ok') store.remove('/configmaps', made.object);
  store.close();
  const journal = new Journal(directory);
  journal.compact(2, []);
  journal.close();
  assert.ok(existsSync(join(directory, 'snapshot.json')));
  // As after a kill between the rename of the snapshot and the cut of the journal.
  writeFileSync(join(directory, 'journal.jsonl'), lines);
  const again = new Store({ limits, journal: new Journal(directory) });
  t.after(() => again.close());
  assert.equal(again.version, 2);
  assert.deepEqual(again.list('/configmaps'), []);
});
