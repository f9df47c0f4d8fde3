/** Three clusters and a federated service: local copies die, then the gateway of the peer that answers. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { deployments } from '@mesh/kube/resources';
import { multiclusterNamespace } from '@mesh/multicluster/link';
import { annotations, labels } from '@mesh/multicluster/names';
import { eventually } from '@mesh/testkit/eventually';
import { Fleet, type LoadSample, patience, shop } from './fleet.ts';

const gateway = { app: 'mesh-gateway', container: 'gateway', namespace: multiclusterNamespace };

/**
 * The README states 300 ms for a process that was killed, and `npm run endurance -- dead-peers` holds it to that. Here three clusters
 * share the machine with their load, and the signal goes through the node: with four times the work that it can do it took 400 ms.
 */
const movedWithinMs = 300 + 700;

/** Requests that failed since `at`, and how long after it the first good answer of another cluster came. */
function outcome(
  samples: readonly LoadSample[],
  { at, from }: { at: number; from: string },
): { failed: LoadSample[]; movedAfterMs: number } {
  const since = samples.filter((sample) => sample.at + sample.ms >= at);
  const moved = since.filter(({ status, cluster }) => status === 200 && cluster !== from);
  return {
    failed: since.filter(({ status }) => status !== 200),
    movedAfterMs: Math.min(...moved.map((sample) => sample.at + sample.ms - at)),
  };
}

describe('failover', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.linked('three');
  });
  after(() => fleet?.end());

  /** The clusters that answered the last 40 requests; undefined while any of them failed. */
  async function answering(): Promise<Set<string> | undefined> {
    const recent = await fleet.recent('east');
    if (recent.length < 40 || recent.some(({ status }) => status !== 200)) return undefined;
    return new Set(recent.map(({ cluster }) => cluster));
  }

  test('traffic leaves dead local copies, then a dead peer, and comes back', async (t) => {
    for (const cluster of fleet.names) await fleet.label(cluster, 'cart', { [labels.federated]: 'member' });
    await eventually('cart is federated', () => fleet.mirror('east', 'cart-federated'), patience);
    await fleet.load('east', { url: 'http://cart/items', rate: 40 });
    await eventually('east answers itself', async () => (await answering())?.has('east'), patience);
    assert.deepEqual(await answering(), new Set(['east']), 'local first');

    const cartDied = await fleet.crash('east', { app: 'cart', container: 'cart' });
    const peers = await eventually(
      'other clusters answer',
      async () => {
        const now = await answering();
        return now === undefined || now.has('east') ? undefined : now;
      },
      patience,
    );
    const local = outcome(await fleet.endLoad('east'), { at: cartDied, from: 'east' });
    t.diagnostic(`local copies died: ${local.failed.length} failed, moved after ${local.movedAfterMs} ms`);
    assert.ok(local.failed.length <= 5, JSON.stringify(local.failed));
    assert.ok(local.movedAfterMs < movedWithinMs, `moved after ${local.movedAfterMs} ms`);

    const [peer = ''] = peers;
    const third = peer === 'west' ? 'north' : 'west';
    await fleet.load('east', { url: 'http://cart/items', rate: 40 });
    await eventually('the load runs', answering, patience);
    const gatewayDied = await fleet.crash(peer, gateway);
    await eventually(
      `only ${third} answers`,
      async () => {
        const now = await answering();
        return now !== undefined && !now.has(peer) && now.has(third);
      },
      patience,
    );
    const remote = outcome(await fleet.endLoad('east'), { at: gatewayDied, from: peer });
    t.diagnostic(
      `gateway of ${peer} died: ${remote.failed.length} failed, moved after ${remote.movedAfterMs} ms`,
    );
    assert.ok(remote.failed.length <= 5, JSON.stringify(remote.failed));
    assert.ok(remote.movedAfterMs < movedWithinMs, `moved after ${remote.movedAfterMs} ms`);

    await fleet.scale(peer, 'mesh-gateway', 1, multiclusterNamespace);
    await fleet.scale('east', 'cart', 1, shop);
    await fleet.load('east', { url: 'http://cart/items', rate: 40 });
    await eventually(
      'east answers itself again',
      async () => {
        const now = await answering();
        return now !== undefined && now.size === 1 && now.has('east');
      },
      patience,
    );
    const back = (await fleet.endLoad('east')).filter(({ status }) => status !== 200);
    assert.ok(back.length <= 5, JSON.stringify(back));
  });

  test('with half of the local copies that a Service asks for, half of its requests leave the cluster', async (t) => {
    for (const cluster of fleet.names) await fleet.label(cluster, 'cart', { [labels.federated]: 'member' });
    await eventually('cart is federated', () => fleet.mirror('east', 'cart-federated'), patience);
    await fleet.scale('east', 'cart', 2);
    await eventually(
      'two copies are ready',
      async () => {
        const { status } = await fleet.kube('east').get(deployments, { namespace: shop, name: 'cart' });
        return status?.availableReplicas === 2;
      },
      patience,
    );
    const spill = (value: string | null) =>
      fleet.annotate('east', 'cart', { [annotations.spillBelow]: value });
    await spill('half');
    const checked = await fleet.expect('check', '--context', 'east');
    assert.match(
      checked.stdout + checked.stderr,
      /shop\/cart: annotation mirror\.mesh\.io\/spill-below=half is not known/,
    );
    await fleet.load('east', { url: 'http://cart/items', rate: 100 });
    await eventually('all stays in east', async () => (await answering())?.size === 1, patience);

    await spill('4');
    await eventually('others answer too', async () => ((await answering())?.size ?? 0) > 1, patience);
    await fleet.endLoad('east');
    await fleet.load('east', { url: 'http://cart/items', rate: 100 });
    await new Promise((resolve) => setTimeout(resolve, 5000));
    const samples = await fleet.endLoad('east');
    assert.deepEqual(
      samples.filter(({ status }) => status !== 200),
      [],
    );
    const share = samples.filter(({ cluster }) => cluster === 'east').length / samples.length;
    t.diagnostic(`${samples.length} requests, ${Math.round(share * 100)} % of them answered by east`);
    assert.ok(share > 0.35 && share < 0.65, `${share}`);

    await spill(null);
    await fleet.load('east', { url: 'http://cart/items', rate: 100 });
    await eventually(
      'all stays in east again',
      async () => {
        const now = await answering();
        return now?.size === 1 && now.has('east');
      },
      patience,
    );
    await fleet.endLoad('east');
  });
});
