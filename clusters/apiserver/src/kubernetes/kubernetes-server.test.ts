/** How the two programs are started and watched; what kube-apiserver answers is in same-answers.test.ts. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { silentLogger } from '@mesh/telemetry/log';
import { apiserverFlags, etcdFlags, kubernetesFiles } from './flags.ts';
import { startKubernetes } from './kubernetes-server.ts';

test('a program that ends before the server is ready is named, and nothing is left', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-kubernetes-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const program = (name: string, script: string): string => {
    writeFileSync(join(directory, `fake-${name}`), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return join(directory, `fake-${name}`);
  };
  const { etcdSocket } = kubernetesFiles(directory);
  const binaries = {
    etcd: program('etcd', `touch ${etcdSocket}; exec sleep 60`),
    apiserver: program('kube-apiserver', 'exit 3'),
  };
  const socketPath = join(directory, 'api.sock');
  const starting = startKubernetes({
    ...{ binaries, cluster: 'east', directory, address: '127.0.0.1', port: 0, socketPath },
    ...{ nodeName: 'east-node', serviceCidr: '10.96.0.0/16', clock: systemClock, log: silentLogger },
  });
  await assert.rejects(starting, /kube-apiserver ended with 3 before it was ready/);
  assert.equal(existsSync(join(directory, 'admin.kubeconfig')), false, 'nobody is told to use it');
  assert.equal(existsSync(socketPath), false);
});

test('etcd opens no port, and the API server listens where it was told', () => {
  const files = kubernetesFiles('/state');
  const etcd = etcdFlags(files);
  assert.deepEqual(
    etcd.filter((flag) => flag.startsWith('--listen')),
    ['--listen-client-urls=unix:///state/etcd/etcd.sock', '--listen-peer-urls=unix:///state/etcd/peer.sock'],
  );
  const shared = { files, address: '127.0.0.1', port: 1234, serviceCidr: '10.1.0.0/16' };
  const alone = apiserverFlags({ ...shared, advertise: undefined, throughNode: false });
  assert.ok(alone.includes('--bind-address=127.0.0.1') && alone.includes('--secure-port=1234'));
  assert.ok(alone.includes('--endpoint-reconciler-type=none'), 'nothing to announce without a node');
  const inCluster = apiserverFlags({ ...shared, advertise: '100.64.255.1', throughNode: true });
  assert.ok(inCluster.includes('--advertise-address=100.64.255.1'));
  assert.ok(inCluster.includes('--egress-selector-config-file=/state/egress.yaml'));
});
