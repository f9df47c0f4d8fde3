/**
 * Applications and gateways are restarted under load, and no request fails. `npm run endurance -- rolling-restarts` is
 * the long form: 20 restarts at 1,000 requests a second.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { multiclusterNamespace } from '@mesh/multicluster/link';
import { labels } from '@mesh/multicluster/names';
import { isEndurance, keepResult } from '@mesh/testkit/endurance-result';
import { eventually } from '@mesh/testkit/eventually';
import { Fleet, patience } from './fleet.ts';

const restarts = isEndurance ? 20 : 2;
const rate = isEndurance ? 1000 : 100;
/** The request of a restart is timed from when it was due; a retry after a lost connection fits into this by far. */
const slowestMs = 5000;

describe('rolling restarts', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.linked('two');
  });
  after(() => fleet?.end());

  test(`${restarts} restarts at ${rate} requests/s fail nothing`, { timeout: 1_800_000 }, async (t) => {
    await fleet.label('west', 'cart', { [labels.exported]: 'true' });
    await eventually('the mirror exists', () => fleet.mirror('east', 'cart-west'), patience);
    await Promise.all(['east', 'west'].map((cluster) => fleet.scale(cluster, 'cart', 2)));
    const urls = ['http://cart/items', 'http://cart-west/items'];
    for (const url of urls) {
      await eventually(`${url} answers`, async () => (await fleet.ask('east', url)).status === 200, patience);
    }
    await fleet.load('east', { url: urls.join(' '), rate });
    for (let restart = 0; restart < restarts; restart++) {
      // In turn: who answers in the own cluster, and the way to the other one.
      if (restart % 2 === 0) await fleet.restart('east', 'cart');
      else await fleet.restart('west', 'mesh-gateway', multiclusterNamespace);
    }
    const { total, failures, slowest } = await fleet.loadOutcome('east');
    keepResult({
      restarts: `${restarts}, in turn of the application in the own cluster and of the gateway of the other one`,
      rate: `${rate} requests/s, by turns to the own cluster and through the gateway`,
      requests: `${total}`,
      'requests that failed': `${failures.length}`,
      'slowest request': `${slowest} ms`,
    });
    t.diagnostic(`${total} requests, ${failures.length} failed, the slowest took ${slowest} ms`);
    assert.deepEqual(failures, []);
    assert.ok(total > 0 && slowest < slowestMs, `the slowest took ${slowest} ms`);
  });
});
