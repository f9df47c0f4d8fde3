import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { eventually } from '@mesh/testkit/eventually';
import { request as httpsRequest } from 'node:https';
import { createAccount, pod, startFixture, type ApiFixture } from './api-fixture.ts';
import { textAt } from './json.ts';

const path = '/api/v1/namespaces/default/pods/p';

const entry = (time: string, text: string, tag = 'F'): string =>
  `2031-01-01T00:00:${time}.000000000Z stdout ${tag} ${text}\n`;

async function withPod(t: TestContext): Promise<{ api: ApiFixture; file: string }> {
  const api = await startFixture(t);
  await createAccount(api, 'default');
  await api.call('/api/v1/namespaces/default/pods', { body: pod('p') });
  const directory = join(api.directory, 'logs', 'default', 'p');
  mkdirSync(directory, { recursive: true });
  return { api, file: join(directory, 'app.log') };
}

test('a log is shown whole, by its tail, with times, and to a limit', async (t) => {
  const { api, file } = await withPod(t);
  const early = await api.call(`${path}/log`);
  assert.equal(early.code, 400);
  assert.match(textAt(early.body, 'message') ?? '', /container "app" in pod "p" is waiting to start/);
  writeFileSync(file, entry('01', 'one') + entry('02', 'two') + entry('03', 'thr', 'P') + entry('03', 'ee'));
  assert.equal((await api.call(`${path}/log`)).text, 'one\ntwo\nthree\n');
  assert.equal((await api.call(`${path}/log?tailLines=1`)).text, 'ee\n');
  assert.equal((await api.call(`${path}/log?tailLines=0`)).text, '');
  assert.equal((await api.call(`${path}/log?tailLines=99`)).text, 'one\ntwo\nthree\n');
  assert.equal((await api.call(`${path}/log?limitBytes=5`)).text, 'one\nt');
  assert.match((await api.call(`${path}/log?timestamps=true`)).text, /^2031-01-01T00:00:01.000000000Z one\n/);
  assert.equal((await api.call(`${path}/log?sinceTime=2031-01-01T00:00:02Z`)).text, 'two\nthree\n');
  assert.equal((await api.call(`${path}/log?container=other`)).code, 400);
});

test('the run before is told apart by the times in the status', async (t) => {
  const { api, file } = await withPod(t);
  writeFileSync(file, entry('01', 'first run') + entry('05', 'second run'));
  assert.equal((await api.call(`${path}/log?previous=true`)).code, 400);
  await api.patch(`${path}/status`, 'merge', {
    status: {
      containerStatuses: [
        {
          name: 'app',
          state: { running: { startedAt: '2031-01-01T00:00:05Z' } },
          lastState: {
            terminated: { startedAt: '2031-01-01T00:00:01Z', finishedAt: '2031-01-01T00:00:02Z' },
          },
        },
      ],
    },
  });
  assert.equal((await api.call(`${path}/log?previous=true`)).text, 'first run\n');
  assert.equal((await api.call(`${path}/log`)).text, 'second run\n');
});

test('following shows what is appended, through rotation', async (t) => {
  const { api, file } = await withPod(t);
  writeFileSync(file, entry('01', 'one'));
  let text = '';
  const request = httpsRequest(
    {
      host: '127.0.0.1',
      port: api.server.port,
      ca: api.server.keys.caPem,
      cert: api.admin.certificatePem,
      key: api.admin.keyPem,
      path: `${path}/log?follow=true`,
      agent: false,
    },
    (response) => {
      response.on('data', (chunk) => {
        text += String(chunk);
      });
    },
  );
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
