import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Authority, createAnchor, createIssuer } from '@mesh/ca/authority';
import { systemClock as clock } from '@mesh/clock/system';
import type { KubeClient } from '@mesh/kube/client';
import { deployments, namespaces, pods, secrets, serviceAccounts } from '@mesh/kube/resources';
import type { Pod } from '@mesh/kube/types';
import { extension, writeCertificate } from '@mesh/trust/certificate-writer';
import { toPem } from '@mesh/trust/pem';
import { checkCommand } from '../commands/check.ts';
import { startClusters } from '../testing/test-clusters.ts';

const anchor = createAnchor({ clock });
const container = { name: 'app', image: 'app' };

/** An authority that `above` signed. */
function createIntermediate(above: Authority): Authority {
  const { key, certificate } = createAnchor({ clock });
  const { subject, notBefore, notAfter, spki } = certificate;
  const der = writeCertificate({
    serial: Buffer.from([1]),
    issuer: above.certificate.subject,
    subject,
    notBefore,
    notAfter,
    spki,
    extensions: [extension.basicConstraints(true), extension.keyUsage('sign')],
    signingKey: above.key,
  });
  return { key, certificate, certificatePem: toPem(der) };
}

/** A namespace in which pods can be made. */
async function makeNamespace(
  client: KubeClient,
  name: string,
  annotations: Record<string, string>,
): Promise<void> {
  await client.create(namespaces, { metadata: { name, annotations } });
  await client.create(serviceAccounts, { metadata: { namespace: name, name: 'default' } });
}

async function putIssuer(client: KubeClient, issuer: Authority, chain: string): Promise<void> {
  const key = issuer.key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const data = { 'tls.crt': base64(chain), 'tls.key': base64(key) };
  const name = 'mesh-identity-issuer';
  const found = await client.find(secrets, { namespace: 'mesh', name });
  if (found === undefined) await client.create(secrets, { metadata: { namespace: 'mesh', name }, data });
  else await client.update(secrets, { ...found, data });
}

test('an issuer counts with the certificates between it and the anchor, as in the identity service', async (t) => {
  const clusters = await startClusters(t, [{ context: 'east', anchors: anchor.certificatePem }]);
  const client = clusters.client('east');
  const line = /^(.) issuer is signed by a trust anchor, for this cluster\n(?: {4}(.*)\n)?/m;
  const checked = async (): Promise<string[]> => {
    const { out } = await clusters.run([checkCommand], 'check');
    return [...(line.exec(out) ?? [])].slice(1).filter((part) => part !== undefined);
  };
  const between = createIntermediate(anchor);
  const issuer = createIssuer({ anchor: between, cluster: 'east', clock });
  await putIssuer(client, issuer, issuer.certificatePem + between.certificatePem);
  assert.deepEqual(await checked(), ['√']);
  await putIssuer(client, issuer, issuer.certificatePem);
  const [sign, why] = await checked();
  assert.equal(sign, '×');
  assert.match(why ?? '', /is not signed by an anchor/);
  const west = createIssuer({ anchor, cluster: 'west', clock });
  await putIssuer(client, west, west.certificatePem);
  assert.match((await checked())[1] ?? '', /signs for west.mesh.local, this cluster is east.mesh.local/);
});

test('pods that lack their sidecar are those to which the injector would give one', async (t) => {
  const clusters = await startClusters(t, [{ context: 'east', anchors: anchor.certificatePem }]);
  const client = clusters.client('east');
  const enabled = { 'mesh.io/inject': 'enabled' };
  for (const [name, annotations] of [
    ['shop', enabled],
    ['plain', {}],
  ] as const) {
    await makeNamespace(client, name, annotations);
  }
  const pod = async (namespace: string, name: string, given: Partial<Pod> = {}): Promise<void> => {
    const { metadata, spec, status } = given;
    const made = await client.create(pods, {
      metadata: { namespace, name, ...metadata },
      spec: { containers: [container], ...spec },
    });
    if (status !== undefined) await client.updateStatus(pods, { ...made, status });
  };
  await pod('shop', 'old');
  await pod('shop', 'host', { spec: { containers: [container], hostNetwork: true } });
  await pod('shop', 'not', { metadata: { annotations: { 'mesh.io/inject': 'disabled' } } });
  await pod('shop', 'done', { status: { phase: 'Succeeded' } });
  await pod('plain', 'asks', { metadata: { annotations: enabled } });
  await pod('plain', 'none');
  const { out } = await clusters.run([checkCommand], 'check');
  assert.match(
    out,
    /‼ every pod that is to have a sidecar has one\n {4}made while no injector was there: plain\/asks, shop\/old\n/,
  );
});

test('sidecars are judged, not the applications beside them, and a namespace that is not there is said', async (t) => {
  const clusters = await startClusters(t, [{ context: 'east', anchors: anchor.certificatePem }]);
  const client = clusters.client('east');
  await makeNamespace(client, 'shop', {});
  const status = (name: string, ready: boolean) => ({ name, image: '', imageID: '', ready, restartCount: 3 });
  const made = await client.create(pods, {
    metadata: { namespace: 'shop', name: 'cart', labels: { 'mesh.io/control-plane-ns': 'mesh' } },
    spec: {
      containers: [container],
      initContainers: [{ name: 'mesh-proxy', image: 'mesh', restartPolicy: 'Always' }],
    },
  });
  const report = async (proxyReady: boolean): Promise<void> => {
    const current = await client.get(pods, made.metadata);
    await client.updateStatus(pods, {
      ...current,
      status: {
        phase: 'Running',
        initContainerStatuses: [{ ...status('mesh-proxy', proxyReady), state: { running: {} } }],
        containerStatuses: [{ ...status('app', false), state: { running: {} } }],
      },
    });
  };
  await report(true);
  assert.match((await clusters.run([checkCommand], 'check')).out, /^√ sidecars are ready$/m);
  await report(false);
  assert.match(
    (await clusters.run([checkCommand], 'check --namespace shop')).out,
    /^× sidecars are ready\n {4}shop\/cart\/mesh-proxy: running, not ready \(3 restarts\)$/m,
  );
  assert.match(
    (await clusters.run([checkCommand], 'check --namespace shpo')).out,
    /^× sidecars are ready\n {4}there is no namespace shpo\n {4}hint: .*kubectl get namespaces/m,
  );
});

test('an anchor that ends soon is replaced by a rotation, an issuer by an install', async (t) => {
  const soon = createAnchor({ clock, lifetimeMs: 20 * 86_400_000 });
  const clusters = await startClusters(t, [{ context: 'east', anchors: soon.certificatePem }]);
  const issuer = createIssuer({ anchor: soon, cluster: 'east', clock });
  await putIssuer(clusters.client('east'), issuer, issuer.certificatePem);
  const { out } = await clusters.run([checkCommand], 'check');
  assert.match(
    out,
    /trust anchor expires in (19|20) days.*\n {4}hint: Replace it as docs\/trust-rotation.md says/,
  );
  assert.match(
    out,
    /issuer expires in (19|20) days.*\n {4}hint: Sign a new one: mesh install --cluster NAME/,
  );
});

test('a part that is scaled to nothing does not run', async (t) => {
  const clusters = await startClusters(t, [{ context: 'east', anchors: anchor.certificatePem }]);
  const client = clusters.client('east');
  const labels = { app: 'injector' };
  const made = await client.create(deployments, {
    metadata: { namespace: 'mesh', name: 'mesh-injector' },
    spec: {
      replicas: 0,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [container] } },
    },
  });
  await client.updateStatus(deployments, { ...made, status: { observedGeneration: 1 } });
  const { out } = await clusters.run([checkCommand], 'check');
  assert.match(
    out,
    /^× mesh-injector is running\n {4}it is scaled to 0 replicas\n {4}hint: kubectl -n mesh scale/m,
  );
});
