/** Kubernetes' own API server for tests, where KUBEBUILDER_ASSETS names it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { silentLogger } from '@mesh/telemetry/log';
import { eventually } from '@mesh/testkit/eventually';
import { ApiFixture } from '../api-fixture.ts';
import { assetsVariable, findBinaries } from '../kubernetes/binaries.ts';
import { startKubernetes, type KubernetesServer } from '../kubernetes/kubernetes-server.ts';

const assets = process.env[assetsVariable] ?? '';

/** For the `skip` of a test. */
export const withoutRealServer =
  assets === '' ? `${assetsVariable} is not set: the real kube-apiserver was NOT asked` : false;

/** A server with an empty store, ended with the test. */
export async function startRealServer(
  t: TestContext,
  serviceCidr: string,
): Promise<ApiFixture<KubernetesServer>> {
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
  t.diagnostic(`asked kube-apiserver ${String((await api.call('/version')).body['gitVersion'])}`);
  return api;
}
