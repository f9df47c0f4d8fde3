/** A sidecar and a gateway are restarted while discovery and policy are away: they are ready again, and requests go where they went. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { multiclusterNamespace } from '@mesh/multicluster/link';
import { labels } from '@mesh/multicluster/names';
import { killContainer } from '@mesh/node/control-client';
import { eventually } from '@mesh/testkit/eventually';
import { Fleet, patience, shop } from './fleet.ts';

const meshNamespace = 'mesh';
const written = /^mesh_last_good_writes_total\{result="success"\} (\d+)$/m;
const started = /^process_start_time_seconds (.+)$/m;

/** The metrics page of a proxy. */
type Page = () => Promise<string>;

/** Within seconds of the change or, when that is written already, with the next minute. */
async function untilWritten(page: Page): Promise<void> {
  const writes = async (): Promise<number> => Number(written.exec(await page())?.[1] ?? 0);
  const before = await writes();
  await eventually('what was learned is written', async () => (await writes()) > before, {
    timeoutMs: 90_000,
    intervalMs: 500,
  });
}

interface Killed {
  readonly cluster: string;
  readonly app: string;
  readonly namespace: string;
  readonly container: string;
  readonly page: Page;
  /** What the page of the next process has once it serves; default: anything. */
  readonly serves?: string;
}

/** Kills a container of the app's pod, and waits until another process serves in its place, in the same pod. */
async function restart(
  fleet: Fleet,
  { cluster, app, namespace, container, page, serves = '' }: Killed,
): Promise<void> {
  const { metadata } = await fleet.ready(cluster, app, namespace);
  const first = started.exec(await page())?.[1];
  await killContainer(fleet.cluster(cluster).controlSocket, { namespace, pod: metadata.name, container });
  await eventually(
    `another ${container} serves`,
    async () => {
      const text = await page().catch(() => '');
      return text !== '' && started.exec(text)?.[1] !== first && text.includes(serves);
    },
    patience,
  );
  const again = await fleet.ready(cluster, app, namespace);
  assert.equal(again.metadata.uid, metadata.uid, 'in the same pod');
}

describe('control plane away', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.linked('two');
  });
  after(() => fleet?.end());

  test('a sidecar that is killed meanwhile comes back with what it knew', async () => {
    await fleet.label('west', 'cart', { [labels.exported]: 'true' });
    await eventually('the mirror exists', () => fleet.mirror('east', 'cart-west'), patience);
    const urls = ['http://cart/items', 'http://cart-west/items'];
    for (const url of urls)
      await eventually(`${url} answers`, async () => (await fleet.ask('east', url)).status === 200, patience);
    const page: Page = () => fleet.proxyMetrics('east', 'probe');
    await untilWritten(page);
    await fleet.scale('east', 'mesh-destination', 0, meshNamespace);
    await restart(fleet, {
      cluster: 'east',
      app: 'probe',
      namespace: shop,
      container: 'mesh-proxy',
      page,
    });
    for (const url of urls) assert.equal((await fleet.ask('east', url)).status, 200, url);
    const text = await page();
    assert.match(text, /^mesh_last_good_reads_total\{result="used"\} 1$/m);
    assert.match(text, /^mesh_last_good_streams [1-9]\d*$/m);

    await fleet.scale('east', 'mesh-destination', 1, meshNamespace);
    await eventually(
      'the control plane is listened to again',
      async () => /^mesh_last_good_streams 0$/m.test(await page()),
      patience,
    );
    for (const url of urls) assert.equal((await fleet.ask('east', url)).status, 200, url);
  });

  test('a gateway that is killed meanwhile goes on with the exports that it knew', async () => {
    const url = 'http://cart-west/items';
    const page: Page = () => fleet.gatewayMetrics('west');
    await untilWritten(page);
    await fleet.scale('west', 'mesh-destination', 0, meshNamespace);
    await eventually(
      'the gateway has lost destination',
      async () => /^gateway_table_age_seconds (?!0$)/m.test(await page()),
      patience,
    );
    await restart(fleet, {
      cluster: 'west',
      app: 'mesh-gateway',
      namespace: multiclusterNamespace,
      container: 'gateway',
      page,
      serves: 'gateway_table_age_seconds',
    });
    await eventually(`${url} answers`, async () => (await fleet.ask('east', url)).status === 200, patience);
    const text = await page();
    assert.match(text, /^mesh_last_good_reads_total\{result="used"\} 1$/m);
    assert.match(text, /^mesh_last_good_streams [1-9]\d*$/m);
    assert.match(text, /^gateway_table_age_seconds (?!0$)/m);

    await fleet.scale('west', 'mesh-destination', 1, meshNamespace);
    await eventually(
      'destination is listened to again',
      async () => /^gateway_table_age_seconds 0$/m.test(await page()),
      patience,
    );
    assert.equal((await fleet.ask('east', url)).status, 200);
  });
});
