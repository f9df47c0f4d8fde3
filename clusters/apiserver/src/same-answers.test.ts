/**
 * One table of requests, one record of what Kubernetes' own kube-apiserver answered: golden/answers.json. The embedded
 * server is held to the record by every run. Where KUBEBUILDER_ASSETS names the real one, it is asked again, so that the
 * record is known to be true; `UPDATE_GOLDEN=1` then writes it anew.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { assertGolden } from '@mesh/testkit/golden';
import { startFixture } from './api-fixture.ts';
import { converse, type Recorded } from './testing/conversation.ts';
import { knownDifferences } from './testing/known-differences.ts';
import { startRealServer, withoutRealServer } from './testing/real-server.ts';
import { requests } from './testing/requests.ts';

const serviceCidr = '10.96.0.0/16';

test('the embedded server answers as kube-apiserver does', async (t) => {
  const api = await startFixture(t, { serviceCidr, limits: { apiserver_watch_window: 60 } });
  const answers = await converse(api, requests);
  const record = JSON.parse(
    readFileSync(join(import.meta.dirname, 'golden', 'answers.json'), 'utf8'),
  ) as Record<string, Recorded>;
  assert.deepEqual([...answers.keys()], Object.keys(record), 'the record is of these requests');
  const differing = [...answers].filter(([name, answer]) => !isDeepStrictEqual(answer, record[name]));
  for (const [name] of differing.filter(([each]) => knownDifferences[each] === undefined)) {
    t.diagnostic(`differs: ${name}`);
  }
  for (const [name, answer] of differing) {
    if (knownDifferences[name] === undefined) assert.deepEqual(answer, record[name], name);
  }
  assert.deepEqual(
    differing.map(([name]) => name).sort(),
    Object.keys(knownDifferences).sort(),
    'every known difference is still one',
  );
});

test('kube-apiserver answers as recorded', { skip: withoutRealServer }, async (t) => {
  const answers = await converse(await startRealServer(t, serviceCidr), requests);
  assertGolden(
    import.meta.url,
    'answers.json',
    `${JSON.stringify(Object.fromEntries(answers), undefined, 1)}\n`,
  );
});
