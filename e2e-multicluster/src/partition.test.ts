/** Two clusters whose network parts and comes together again. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { dataplaneLimits } from '@mesh/dataplane/limits';
import { services } from '@mesh/kube/resources';
import { type LinkStatus, multiclusterNamespace } from '@mesh/multicluster/link';
import { annotations, labels } from '@mesh/multicluster/names';
import { eventually } from '@mesh/testkit/eventually';
import { Fleet, type LoadSample, links, patience, shop } from './fleet.ts';

const cartUrl = 'http://cart/items';
const silenceMs = dataplaneLimits.peer_silence_ms.default;
/** What a machine may add that runs two clusters and their load, and whatever else is tested on it. */
const machineMs = 1000;
const slow = { ...patience, timeoutMs: 60_000 };

describe('a partition', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.linked('two');
    for (const cluster of fleet.names) {
      await fleet.label(cluster, 'cart', { [labels.exported]: 'true', [labels.federated]: 'member' });
    }
    await eventually('cart is federated', () => fleet.mirror('east', 'cart-federated'), patience);
  });
  after(() => fleet?.end());

  async function linkStatus(cluster: string, peer: string): Promise<LinkStatus> {
    return (
      (await fleet.kube(cluster).get(links, { namespace: multiclusterNamespace, name: peer })).status ?? {}
    );
  }

  async function peersAre(state: 'alive' | 'dead'): Promise<void> {
    for (const [cluster, peer] of [
      ['east', 'west'],
      ['west', 'east'],
    ] as const) {
      await eventually(
        `${cluster} calls ${peer} ${state}`,
        async () => (await linkStatus(cluster, peer)).gateway === state,
        slow,
      );
    }
  }

  const failedOf = (samples: readonly LoadSample[]): LoadSample[] =>
    samples.filter(({ status }) => status !== 200);

  /** The clusters that answered the latest requests; undefined while one of them failed. */
  async function answering(): Promise<string | undefined> {
    const recent = await fleet.recent('east');
    if (recent.length < 40 || failedOf(recent).length > 0) return undefined;
    return [...new Set(recent.map(({ cluster }) => cluster))].sort().join(' ');
  }

  test('is not felt by what has local copies, and heals by itself', async () => {
    await fleet.load('east', { url: cartUrl, rate: 40 });
    await eventually('east answers itself', async () => (await answering()) === 'east', patience);
    await fleet.cut('west');
    await peersAre('dead');
    // What the peer exported stays: a lost peer is no reason to take a name away.
    assert.ok((await fleet.mirror('east', 'cart-west')) !== undefined);
    assert.ok((await fleet.mirror('east', 'cart-federated')) !== undefined);
    // Both sides go on changing: they must agree once they meet again.
    await fleet.label('west', 'ratings', { [labels.exported]: 'true' });
    await fleet.label('east', 'catalog', { [labels.exported]: 'true' });
    await fleet.label('west', 'cart', { [labels.exported]: null });
    await fleet.heal('west');
    await peersAre('alive');
    await eventually('the new export of west is in east', () => fleet.mirror('east', 'ratings-west'), slow);
    await eventually('the new export of east is in west', () => fleet.mirror('west', 'catalog-east'), slow);
    await eventually(
      'what was withdrawn meanwhile is gone',
      async () => (await fleet.mirror('east', 'cart-west')) === undefined,
      slow,
    );
    const samples = await fleet.endLoad('east');
    assert.ok(samples.length > 100, `${samples.length} requests`);
    assert.deepEqual(failedOf(samples), []);
  });

  test('takes from a balanced service what was under way to the other side, and no more', async (t) => {
    const balanced = { metadata: { annotations: { [annotations.mode]: 'balanced' } } };
    for (const cluster of fleet.names) {
      await fleet
        .kube(cluster)
        .patch(services, { namespace: shop, name: 'cart' }, { patch: { type: 'merge', body: balanced } });
    }
    await fleet.load('east', { url: cartUrl, rate: 40 });
    await eventually('both clusters answer', async () => (await answering()) === 'east west', slow);
    const at = Date.now();
    await fleet.cut('west');
    await peersAre('dead');
    // Longer than any request waits for an answer, so that each that went under is counted.
    await eventually('every request has ended', () => Date.now() > at + 9000, { ...slow, intervalMs: 500 });
    assert.equal(await answering(), 'east');
    await fleet.heal('west');
    await eventually('both clusters answer again', async () => (await answering()) === 'east west', slow);
    const samples = await fleet.endLoad('east');
    const during = samples.filter((sample) => sample.at >= at - 1000 && sample.at < at + 9000);
    const failed = failedOf(samples);
    const longest = Math.max(...during.map(({ ms }) => ms));
    const lostForMs =
      Math.max(...failed.map((sample) => sample.at + sample.ms)) -
      Math.min(...failed.map((sample) => sample.at));
    t.diagnostic(
      `${failed.length} of ${during.length} requests failed, within ${lostForMs} ms; the slowest answer took ${longest} ms`,
    );
    // Packets vanish without a word, so a dead peer is noticed by its silence while a request waits. Whatever was sent to it since
    // the first one that waited in vain is lost, and nothing is sent to it afterwards.
    assert.ok(failed.length === 0 || lostForMs <= silenceMs + machineMs, JSON.stringify(failed));
  });
});
