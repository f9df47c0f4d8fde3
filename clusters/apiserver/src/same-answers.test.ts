/**
 * One table of requests, one record of what Kubernetes' own kube-apiserver answered: golden/answers.json. The embedded
 * server is held to the record by every run. Where KUBEBUILDER_ASSETS names the real one, it is asked again, so that the
 * record is known to be true; `UPDATE_GOLDEN=1` then writes it anew.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { systemClock } from '@mesh/clock/system';
import { silentLogger } from '@mesh/telemetry/log';
import { assertGolden } from '@mesh/testkit/golden';
import { eventually } from '@mesh/testkit/eventually';
import { ApiFixture, startFixture } from './api-fixture.ts';
import { assetsVariable, findBinaries } from './kubernetes/binaries.ts';
import { startKubernetes } from './kubernetes/kubernetes-server.ts';
import { converse, type Recorded } from './testing/conversation.ts';
import { knownDifferences } from './testing/known-differences.ts';
import { requests } from './testing/requests.ts';

const serviceCidr = '10.96.0.0/16';
const assets = process.env[assetsVariable] ?? '';
const skip = assets === '' ? `${assetsVariable} is not set: the real kube-apiserver was NOT asked` : false;

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

test('kube-apiserver answers as recorded', { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-kubernetes-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const server = await startKubernetes({
    binaries: findBinaries(assets),
    ...{ cluster: 'test', directory, address: '127.0.0.1', port: 0, nodeName: 'node', serviceCidr },
    ...{ clock: systemClock, log: silentLogger, output: 'ignore' },
  });
  t.after(() => server.close());
  const admin = await server.keys.issueClient('admin', ['system:masters']);
  const api = new ApiFixture(server, directory, admin);
  await eventually(
    'the namespace default',
    async () => (await api.call('/api/v1/namespaces/default')).code === 200,
    { timeoutMs: 30_000 },
  );
  t.diagnostic(`asked ${JSON.stringify((await api.call('/version')).body['gitVersion'])}`);
  const answers = await converse(api, requests);
  assertGolden(
    import.meta.url,
    'answers.json',
    `${JSON.stringify(Object.fromEntries(answers), undefined, 1)}\n`,
  );
});
