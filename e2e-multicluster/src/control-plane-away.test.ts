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
    const writes = async (): Promise<number> =>
      Number(written.exec(await fleet.proxyMetrics('east', 'probe'))?.[1] ?? 0);
    const before = await writes();
    // Within seconds of the change or, when that is written already, with the next minute.
    await eventually('what was learned is written', async () => (await writes()) > before, {
      timeoutMs: 90_000,
      intervalMs: 500,
    });
    await fleet.scale('east', 'mesh-destination', 0, meshNamespace);
    const started = /^process_start_time_seconds (.+)$/m;
    const { metadata } = await fleet.ready('east', 'probe');
    const first = started.exec(await fleet.proxyMetrics('east', 'probe'))?.[1];
    await killContainer(fleet.cluster('east').controlSocket, {
      namespace: shop,
      pod: metadata.name,
      container: 'mesh-proxy',
    });
    await eventually(
      'another sidecar is ready',
      async () => {
        const page = await fleet.proxyMetrics('east', 'probe').catch(() => '');
        return page !== '' && started.exec(page)?.[1] !== first;
      },
      patience,
    );
    assert.equal((await fleet.ready('east', 'probe')).metadata.uid, metadata.uid, 'in the same pod');
    for (const url of urls) assert.equal((await fleet.ask('east', url)).status, 200, url);
    const page = await fleet.proxyMetrics('east', 'probe');
    assert.match(page, /^mesh_last_good_reads_total\{result="used"\} 1$/m);
    assert.match(page, /^mesh_last_good_streams [1-9]\d*$/m);

    await fleet.scale('east', 'mesh-destination', 1, meshNamespace);
    await eventually(
      'the control plane is listened to again',
      async () => /^mesh_last_good_streams 0$/m.test(await fleet.proxyMetrics('east', 'probe')),
      patience,
    );
    for (const url of urls) assert.equal((await fleet.ask('east', url)).status, 200, url);
  });

  test('a gateway that is killed meanwhile goes on with the exports that it knew', async () => {
    const url = 'http://cart-west/items';
    const started = /^process_start_time_seconds (.+)$/m;
    const writes = async (): Promise<number> =>
      Number(written.exec(await fleet.gatewayMetrics('west'))?.[1] ?? 0);
    const before = await writes();
    await eventually('what the gateway learned is written', async () => (await writes()) > before, {
      timeoutMs: 90_000,
      intervalMs: 500,
    });
    await fleet.scale('west', 'mesh-destination', 0, meshNamespace);
    await eventually(
      'the gateway has lost destination',
      async () => /^gateway_table_age_seconds (?!0$)/m.test(await fleet.gatewayMetrics('west')),
      patience,
    );
    const { metadata } = await fleet.ready('west', 'mesh-gateway', multiclusterNamespace);
    const first = started.exec(await fleet.gatewayMetrics('west'))?.[1];
    await killContainer(fleet.cluster('west').controlSocket, {
      namespace: multiclusterNamespace,
      pod: metadata.name,
      container: 'gateway',
    });
    await eventually(
      'another gateway knows its exports',
      async () => {
        const page = await fleet.gatewayMetrics('west').catch(() => '');
        return page !== '' && started.exec(page)?.[1] !== first && page.includes('gateway_table_age_seconds');
      },
      patience,
    );
    const again = await fleet.ready('west', 'mesh-gateway', multiclusterNamespace);
    assert.equal(again.metadata.uid, metadata.uid, 'in the same pod');
    await eventually(`${url} answers`, async () => (await fleet.ask('east', url)).status === 200, patience);
    const page = await fleet.gatewayMetrics('west');
    assert.match(page, /^mesh_last_good_reads_total\{result="used"\} 1$/m);
    assert.match(page, /^mesh_last_good_streams [1-9]\d*$/m);
    assert.match(page, /^gateway_table_age_seconds (?!0$)/m);

    await fleet.scale('west', 'mesh-destination', 1, meshNamespace);
    await eventually(
      'destination is listened to again',
      async () => /^gateway_table_age_seconds 0$/m.test(await fleet.gatewayMetrics('west')),
      patience,
    );
    assert.equal((await fleet.ask('east', url)).status, 200);
  });
});
