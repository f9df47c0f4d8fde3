/** Logs as an API server gets them: over TLS, from files that the node writes. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { loadClusterKeys, type KeyPair } from '@mesh/apiserver/pki';
import { kubeletClient } from '@mesh/apiserver/credentials';
import { systemClock } from '@mesh/clock/system';
import type { Pod } from '@mesh/kube/types';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { assertNoLeaks } from '@mesh/testkit/leaks';
import { KubeletServer } from './kubelet-server.ts';
import { PodLogs } from './pod-logs.ts';

const path = '/containerLogs/default/p/app';

const entry = (time: string, text: string, tag = 'F'): string =>
  `2031-01-01T00:00:${time}.000000000Z stdout ${tag} ${text}\n`;

interface Answer {
  status: number | undefined;
  text: string;
}

interface Fixture {
  file: string;
  pod: Pod;
  clock: FakeClock;
  connection(credential?: KeyPair): RequestOptions;
  get(path: string, credential?: KeyPair): Promise<Answer>;
  stranger: KeyPair;
}

async function fixture(t: TestContext): Promise<Fixture> {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-node-logs-'));
  const keys = await loadClusterKeys({
    directory: join(directory, 'pki'),
    cluster: 'test',
    clock: systemClock,
    servingNames: [],
  });
  const serving = await keys.issueServing({
    user: 'system:node:node',
    groups: ['system:nodes'],
    names: [{ type: 'ip', value: '127.0.0.1' }],
  });
  const apiserver = await keys.issueClient(kubeletClient.user, kubeletClient.groups);
  const pod: Pod = {
    metadata: { namespace: 'default', name: 'p', creationTimestamp: '2031-01-01T00:00:00Z' },
    spec: { containers: [{ name: 'app', image: 'none' }] },
  };
  const clock = new FakeClock(Date.parse('2031-01-01T00:00:10Z'));
  const logs = new PodLogs({
    directory,
    pod: (namespace, name) => (namespace === 'default' && name === 'p' ? pod : undefined),
    clock,
  });
  const server = new KubeletServer({
    serving: serving.certificatePem + serving.keyPem,
    ca: keys.caPem,
    serveLog: (request, response) => logs.serve(request, response),
    onError: (error) => assert.fail(String(error)),
  });
  const port = await server.listen('127.0.0.1', 0);
  t.after(async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  });
  mkdirSync(join(directory, 'default', 'p'), { recursive: true });
  const connection = ({ certificatePem: cert, keyPem: key }: KeyPair = apiserver): RequestOptions => ({
    ...{ host: '127.0.0.1', port, ca: keys.caPem, cert, key },
    agent: false,
  });
  return {
    file: join(directory, 'default', 'p', 'app.log'),
    pod,
    clock,
    connection,
    stranger: await keys.issueClient('system:node:other', ['system:nodes']),
    get: (wanted, credential) =>
      new Promise((resolve, reject) => {
        const request = httpsRequest({ ...connection(credential), path: wanted }, (response) => {
          let text = '';
          response.on('data', (chunk) => (text += String(chunk)));
          response.on('end', () => resolve({ status: response.statusCode, text }));
        });
        request.on('error', reject);
        request.end();
      }),
  };
}

test('a log is shown whole, by its tail, with times, and to a limit', async (t) => {
  assertNoLeaks(t);
  const { file, get } = await fixture(t);
  const early = await get(path);
  assert.equal(early.status, 400);
  assert.match(early.text, /container "app" in pod "p" is waiting to start/);
  writeFileSync(file, entry('01', 'one') + entry('02', 'two') + entry('03', 'thr', 'P') + entry('03', 'ee'));
  assert.equal((await get(path)).text, 'one\ntwo\nthree\n');
  assert.equal((await get(`${path}?tailLines=1`)).text, 'ee\n');
  assert.equal((await get(`${path}?tailLines=0`)).text, '');
  assert.equal((await get(`${path}?tailLines=99`)).text, 'one\ntwo\nthree\n');
  assert.equal((await get(`${path}?limitBytes=5`)).text, 'one\nt');
  assert.match((await get(`${path}?timestamps=true`)).text, /^2031-01-01T00:00:01.000000000Z one\n/);
  assert.equal((await get(`${path}?sinceTime=2031-01-01T00:00:02Z`)).text, 'two\nthree\n');
  assert.equal((await get(`${path}?sinceSeconds=8`)).text, 'two\nthree\n');
  assert.equal((await get(`${path}?tailLines=many`)).status, 400);
});

test('only the API server is answered, and only about containers of this node', async (t) => {
  const { file, get, stranger } = await fixture(t);
  writeFileSync(file, entry('01', 'secret'));
  assert.deepEqual(await get(path, stranger), {
    status: 403,
    text: 'Forbidden: only kube-apiserver-kubelet-client may ask',
  });
  await assert.rejects(get(path, { certificatePem: '', keyPem: '' }), /ECONNRESET|alert|hang up/);
  assert.equal((await get('/containerLogs/default/other/app')).status, 404);
  assert.equal((await get('/containerLogs/default/p/..%2Fapp')).status, 404);
  assert.equal((await get('/containerLogs/default/p')).status, 404);
  assert.equal((await get('//')).status, 404);
  assert.equal((await get('/exec/default/p/app')).status, 501);
});

test('the run before is told apart by the times in the status', async (t) => {
  const { file, pod, get } = await fixture(t);
  writeFileSync(file, entry('01', 'first run') + entry('05', 'second run'));
  assert.equal((await get(`${path}?previous=true`)).status, 400);
  const run = { exitCode: 0, startedAt: '2031-01-01T00:00:01Z', finishedAt: '2031-01-01T00:00:02Z' };
  pod.status = {
    containerStatuses: [
      {
        ...{ name: 'app', image: '', imageID: '', ready: true, restartCount: 1 },
        state: { running: { startedAt: '2031-01-01T00:00:05Z' } },
        lastState: { terminated: run },
      },
    ],
  };
  assert.equal((await get(`${path}?previous=true`)).text, 'first run\n');
  assert.equal((await get(path)).text, 'second run\n');
  assert.equal((await get(`${path}?previous=true&tailLines=1`)).text, 'first run\n');
  pod.status = { containerStatuses: [{ ...appStatus, state: { waiting: { reason: 'PodInitializing' } } }] };
  const early = await get(path);
  assert.deepEqual(
    [early.status, early.text],
    [400, 'container "app" in pod "p" is waiting to start: PodInitializing'],
  );
});

const appStatus = { name: 'app', image: '', imageID: '', ready: true, restartCount: 0 };

test('a log that is followed ends with the run of its container', async (t) => {
  const { file, pod, get, clock, connection } = await fixture(t);
  const startedAt = '2031-01-01T00:00:01Z';
  pod.status = { containerStatuses: [{ ...appStatus, state: { running: { startedAt } } }] };
  writeFileSync(file, entry('01', 'one'));
  let text = '';
  let ended = false;
  const request = httpsRequest({ ...connection(), path: `${path}?follow=true` }, (response) => {
    response.on('data', (chunk) => (text += String(chunk)));
    response.on('end', () => (ended = true));
  });
  request.end();
  await eventually('the first line', () => text === 'one\n');
  await clock.advanceAsync(5000, 1000);
  assert.equal(ended, false, 'the container runs');
  appendFileSync(file, entry('05', 'two'));
  const run = { exitCode: 0, startedAt, finishedAt: '2031-01-01T00:00:05Z' };
  pod.status = { containerStatuses: [{ ...appStatus, state: { terminated: run } }] };
  await clock.advanceAsync(1000);
  await eventually('the end', () => ended);
  assert.equal(text, 'one\ntwo\n');
  assert.equal((await get(`${path}?follow=true`)).text, 'one\ntwo\n', 'nothing more will come');
});

test('following shows what is appended, through rotation', async (t) => {
  const { file, connection } = await fixture(t);
  writeFileSync(file, entry('01', 'one'));
  let text = '';
  const request = httpsRequest({ ...connection(), path: `${path}?follow=true` }, (response) => {
    response.on('data', (chunk) => (text += String(chunk)));
  });
  request.on('error', () => {});
  request.end();
  t.after(() => request.destroy());
  await eventually('the first line', () => text === 'one\n');
  appendFileSync(file, entry('02', 'two'));
  await eventually('the second line', () => text === 'one\ntwo\n');
  renameSync(file, `${file}.1`);
  writeFileSync(file, entry('03', 'three'));
  await eventually('the line after rotation', () => text === 'one\ntwo\nthree\n');
});
