/**
 * The trust anchor of linked clusters is replaced under load, by the steps of docs/trust-rotation.md: no request fails,
 * nothing restarts, and at the end nobody knows the old anchor any more.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { readTrust } from '@mesh/ca/files';
import { configMaps, pods, secrets } from '@mesh/kube/resources';
import type { Pod, Stored } from '@mesh/kube/types';
import { multiclusterNamespace } from '@mesh/multicluster/link';
import { labels } from '@mesh/multicluster/names';
import { eventually } from '@mesh/testkit/eventually';
import { parseAllDocuments } from 'yaml';
import { Fleet, patience, shop } from './fleet.ts';
import { getInside } from './through-node.ts';

const meshNamespace = 'mesh';
const issuerSecret = 'mesh-identity-issuer';
const anchors = /^mesh_trust_anchors (\d+)$/m;
const renewals = /^identity_cert_refresh_count\{result="success"\} (\d+)$/m;
/** Programs stop to trust an anchor a minute after it was removed. */
const removal = { timeoutMs: 120_000, intervalMs: 500 };

describe('trust rotation', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.linked('two');
  });
  after(() => fleet?.end());

  const everywhere = (step: (cluster: string) => Promise<void>) => Promise.all(fleet.names.map(step));

  /** All pods of the mesh and of its applications. */
  async function allPods(cluster: string): Promise<Stored<Pod>[]> {
    const spaces = [meshNamespace, multiclusterNamespace, shop];
    const lists = await Promise.all(
      spaces.map((namespace) => fleet.kube(cluster).listAll(pods, { namespace })),
    );
    return lists.flatMap(({ items }) => items);
  }

  /** Which processes run: another one in the place of any of them shows. */
  async function processes(cluster: string): Promise<string[]> {
    return (await allPods(cluster))
      .flatMap(({ metadata, status }) =>
        [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])].map(
          ({ name, containerID, restartCount }) =>
            `${metadata.namespace}/${metadata.name} ${name} ${containerID} ${restartCount}`,
        ),
      )
      .toSorted();
  }

  /** A metric of every program of a cluster with an identity of the mesh: all but identity itself and the injector. */
  async function metricOf(cluster: string, line: RegExp): Promise<Map<string, number>> {
    const found = new Map<string, number>();
    for (const { metadata, spec, status } of await allPods(cluster)) {
      const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
      const port = containers
        .flatMap(({ ports = [] }) => ports)
        .find(({ name }) => name === 'mesh-admin' || name === 'admin')?.containerPort;
      if (port === undefined) continue;
      const address = status?.podIP ?? '';
      const { body } = await getInside(fleet.cluster(cluster).controlSocket, {
        address,
        port,
        path: '/metrics',
      });
      const [, value] = line.exec(body) ?? [];
      if (value !== undefined) found.set(metadata.name, Number(value));
    }
    return found;
  }

  const all = async (cluster: string, line: RegExp, expected: number): Promise<void> => {
    await eventually(
      `${expected} in every program of ${cluster}: ${line.source}`,
      async () => {
        const values = [...(await metricOf(cluster, line)).values()];
        return values.length > 5 && values.every((value) => value === expected);
      },
      removal,
    );
  };

  /** Sets the anchors where programs, new pods and `mesh check` take them from. */
  async function setAnchors(cluster: string, anchorsPem: string): Promise<void> {
    const kube = fleet.kube(cluster);
    const inMesh = (name: string) => ({ namespace: meshNamespace, name });
    const merge = (body: object) => ({ patch: { type: 'merge' as const, body } });
    await kube.patch(secrets, inMesh(issuerSecret), merge({ stringData: { 'ca.crt': anchorsPem } }));
    await kube.patch(
      configMaps,
      inMesh('mesh-trust-roots'),
      merge({ data: { 'ca-bundle.crt': anchorsPem } }),
    );
    const stored = (await kube.get(configMaps, inMesh('mesh-config'))).data?.['values'] ?? '{}';
    const values = JSON.stringify({ ...(JSON.parse(stored) as object), anchors: anchorsPem });
    await kube.patch(configMaps, inMesh('mesh-config'), merge({ data: { values } }));
  }

  /** What `mesh install` would give a cluster under another anchor. */
  async function newIssuer(cluster: string): Promise<Record<string, string>> {
    const { stdout } = await fleet.expect(
      'install',
      '--cluster',
      cluster,
      '--trust',
      fleet.trustDirectory('next'),
    );
    for (const document of parseAllDocuments(stdout)) {
      const object = document.toJS() as { metadata?: { name?: string }; stringData?: Record<string, string> };
      if (object.metadata?.name !== issuerSecret || object.stringData === undefined) continue;
      const { 'tls.crt': certificate = '', 'tls.key': key = '' } = object.stringData;
      return { 'tls.crt': certificate, 'tls.key': key };
    }
    throw new Error('mesh install prints an issuer');
  }

  test('the anchor is replaced under load: nothing fails, nothing restarts, the old one is gone', async (t) => {
    await fleet.label('west', 'cart', { [labels.exported]: 'true' });
    await eventually('the mirror exists', () => fleet.mirror('east', 'cart-west'), patience);
    const urls = ['http://cart/items', 'http://cart-west/items'];
    for (const url of urls)
      await eventually(`${url} answers`, async () => (await fleet.ask('east', url)).status === 200, patience);
    await fleet.trust('next');
    const [old, next] = [
      await readTrust(fleet.trustDirectory('trust')),
      await readTrust(fleet.trustDirectory('next')),
    ];
    const before = await Promise.all(fleet.names.map(processes));
    await fleet.load('east', { url: urls.join(' '), rate: 100 });

    await everywhere((cluster) => setAnchors(cluster, old.anchorsPem + next.anchorsPem));
    await everywhere((cluster) => all(cluster, anchors, 2));
    await everywhere(async (cluster) => {
      const body = { stringData: await newIssuer(cluster) };
      const ref = { namespace: meshNamespace, name: issuerSecret };
      await fleet.kube(cluster).patch(secrets, ref, { patch: { type: 'merge', body } });
    });
    // One cluster may be late: then its certificates are of the old anchor still when those of the other are of the new one.
    await setAnchors('west', next.anchorsPem);
    await all('west', renewals, 2);
    await setAnchors('east', next.anchorsPem);
    await everywhere((cluster) => all(cluster, anchors, 1));

    const { total, failures, slowest } = await fleet.loadOutcome('east');
    t.diagnostic(`${total} requests, ${failures.length} failed, the slowest took ${slowest} ms`);
    assert.deepEqual(failures, []);
    assert.ok(total > 1000);
    assert.deepEqual(await Promise.all(fleet.names.map(processes)), before);

    // Links name the anchors that they were made with; and a pod that starts now knows only the new one.
    await fleet.expect('multicluster', 'link', ...fleet.names, '--timeout', '60');
    await fleet.restart('west', 'cart');
    await eventually(
      'the new pod answers through the gateway',
      async () => (await fleet.ask('east', 'http://cart-west/items')).status === 200,
      patience,
    );
    for (const cluster of fleet.names) await fleet.expect('check', '--context', cluster);
  });
});
