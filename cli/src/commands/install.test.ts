import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { type Authority, createAnchor, createIssuer } from '@mesh/ca/authority';
import { systemClock as clock } from '@mesh/clock/system';
import { parseStoredValues } from '@mesh/charts/values';
import type { KubeClient } from '@mesh/kube/client';
import { configMaps, deployments, namespaces } from '@mesh/kube/resources';
import { splitPem } from '@mesh/trust/pem';
import { type Ran, startClusters } from '../testing/test-clusters.ts';
import { installCommand } from './install.ts';

const anchor = createAnchor({ clock });
const day = 86_400_000;

/** Flags that name the issuer and anchor, written into files. */
function issuerFlags(t: TestContext, issuer: Authority, { key = issuer.key, under = anchor } = {}): string {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-issuer-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  return [
    `--issuer-cert ${file('tls.crt', issuer.certificatePem)}`,
    `--issuer-key ${file('tls.key', key.export({ type: 'pkcs8', format: 'pem' }).toString())}`,
    `--trust-anchors ${file('ca.crt', under.certificatePem)}`,
  ].join(' ');
}

test("an issuer of a CA of one's own is verified before anything reaches the cluster", async (t) => {
  const clusters = await startClusters(t, [{ context: 'east' }]);
  const install = async (flags: string) =>
    clusters.run([installCommand], `install --cluster east ${flags} --apply`);
  const east = createIssuer({ anchor, cluster: 'east', clock });
  const refused: readonly (readonly [flags: string, message: RegExp, remedy: RegExp])[] = [
    [
      issuerFlags(t, createIssuer({ anchor, cluster: 'west', clock })),
      /signs for west.mesh.local, this cluster is east.mesh.local/,
      /made for cluster east/,
    ],
    [issuerFlags(t, east, { key: anchor.key }), /key does not belong/, /requested with/],
    [
      issuerFlags(t, east, { under: createAnchor({ clock }) }),
      /not signed by an anchor/,
      /the anchor that signed it/,
    ],
    [issuerFlags(t, anchor), /has no path length, it must be 0/, /pathlen:0.*DNS:east.mesh.local/],
  ];
  for (const [flags, message, remedy] of refused) {
    const { code, out, notes } = await install(flags);
    assert.equal(code, 1);
    assert.equal(out, '');
    assert.match(notes, message);
    assert.match(notes.split('remedy: ')[1] ?? '', remedy);
  }
  assert.equal(await clusters.client('east').find(namespaces, { name: 'mesh' }), undefined);
});

test('an issuer that fits is installed, and its remaining life is stated', async (t) => {
  const clusters = await startClusters(t, [{ context: 'east' }]);
  const issuer = createIssuer({ anchor, cluster: 'east', clock, lifetimeMs: 20.5 * day });
  const { code, out, notes } = await clusters.run(
    [installCommand],
    `install --cluster east ${issuerFlags(t, issuer)}`,
  );
  assert.equal(code, 0, notes);
  assert.match(notes, /issuer of cluster east: [0-9A-F:]{95}, ends 20.* \(in 20 days\)/);
  assert.match(out, /name: mesh-identity-issuer/);
});

/** Plays the controllers: every Deployment has its replicas. */
function playControllers(t: TestContext, client: KubeClient): void {
  let busy: Promise<void> = Promise.resolve();
  const look = async (): Promise<void> => {
    for (const found of (await client.listAll(deployments)).items) {
      const { generation: observedGeneration = 1 } = found.metadata;
      const [replicas, updatedReplicas, readyReplicas] = [1, 1, 1];
      const status = { observedGeneration, replicas, updatedReplicas, readyReplicas };
      if (found.status?.observedGeneration !== observedGeneration)
        await client.updateStatus(deployments, { ...found, status });
    }
  };
  const timer = clock.every(50, () => {
    busy = busy.then(look).catch(() => {});
  });
  t.after(async () => {
    timer.cancel();
    await busy;
  });
}

test('applying again keeps what was set, and takes no cluster for another one', async (t) => {
  const clusters = await startClusters(t, [{ context: 'east' }]);
  const client = clusters.client('east');
  playControllers(t, client);
  const apply = async (cluster: string, flags = ''): Promise<Ran> => {
    const issuer = issuerFlags(t, createIssuer({ anchor, cluster, clock }));
    return await clusters.run([installCommand], `install --cluster ${cluster} ${issuer}${flags} --apply`);
  };
  const stored = async (): Promise<unknown[]> => {
    const { data } = await client.get(configMaps, { namespace: 'mesh', name: 'mesh-config' });
    const { cluster, inboundPolicy, logLevel, image } = parseStoredValues(data?.['values'] ?? '');
    return [cluster, inboundPolicy, logLevel, image];
  };
  const first = await apply(
    'east',
    ' --default-inbound-policy deny --log-level warn --image registry.example/mesh:1',
  );
  assert.equal(first.code, 0, first.notes);
  assert.equal((await apply('east')).code, 0);
  assert.deepEqual(await stored(), ['east', 'deny', 'warn', 'registry.example/mesh:1']);
  assert.equal((await apply('east', ' --log-level info')).code, 0);
  assert.deepEqual(await stored(), ['east', 'deny', 'info', 'registry.example/mesh:1']);
  const other = await apply('west');
  assert.equal(other.code, 1);
  assert.match(
    other.notes,
    /is cluster east, not west\n {2}remedy: Name the context of west with --context\./,
  );
  assert.deepEqual(await stored(), ['east', 'deny', 'info', 'registry.example/mesh:1']);
});

test('applying again takes no anchor from pods that trust it, and none that they do not know', async (t) => {
  const clusters = await startClusters(t, [{ context: 'east' }]);
  const client = clusters.client('east');
  playControllers(t, client);
  const next = createAnchor({ clock });
  const both = { ...anchor, certificatePem: anchor.certificatePem + next.certificatePem };
  const apply = async (under: Authority, signer = under): Promise<Ran> => {
    const flags = issuerFlags(t, createIssuer({ anchor: signer, cluster: 'east', clock }), { under });
    return await clusters.run([installCommand], `install --cluster east ${flags} --apply`);
  };
  const anchors = async (): Promise<string[]> => {
    const { data } = await client.get(configMaps, { namespace: 'mesh', name: 'mesh-trust-roots' });
    return splitPem(data?.['ca-bundle.crt'] ?? '');
  };
  const [first, second] = [anchor, next].map(({ certificatePem }) => splitPem(certificatePem)[0] ?? '');
  assert.equal((await apply(anchor)).code, 0);
  const foreign = await apply(next);
  assert.equal(foreign.code, 1);
  assert.match(foreign.notes, /trusts none of the anchors given[^]*remedy: .*docs\/trust-rotation.md/);
  assert.deepEqual(await anchors(), [first]);
  assert.equal((await apply(both, anchor)).code, 0);
  assert.deepEqual(await anchors(), [first, second]);
  assert.equal((await apply(next)).code, 0);
  assert.deepEqual(await anchors(), [second, first]);
});
