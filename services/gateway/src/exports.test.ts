import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { RetryBudget } from '@mesh/balance/retry-budget';
import { type Export, ExportSchema } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import { Discovery } from '@mesh/dataplane/discovery';
import { FixedTargets } from '@mesh/dataplane/fixed-targets';
import { HttpMetrics } from '@mesh/dataplane/http-metrics';
import { dataplaneLimits } from '@mesh/dataplane/limits';
import { undialledPeers } from '@mesh/dataplane/testing/undialled-peers';
import { LimitLedger } from '@mesh/limits/limits';
import { silentLogger } from '@mesh/telemetry/log';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { ExportTargets } from './exports.ts';

/** A gateway that follows at most so many destinations, and those that it follows. */
function gateway(t: TestContext, most: number) {
  const clock = new FakeClock();
  const limits = new LimitLedger(dataplaneLimits, { discovered_targets: most });
  const registry = new MetricRegistry();
  const http = new HttpMetrics(registry);
  const cells = http.cells({});
  const pool = {
    peers: undialledPeers(clock, limits),
    failfast: 'failfast_outbound_ms' as const,
    cells: () => cells,
  };
  const watched = new Set<string>();
  const discovery = new Discovery({
    clock,
    log: silentLogger,
    channel: {
      keep(_method, input) {
        const { path } = input as { path: string };
        watched.add(path);
        return { cancel: () => void watched.delete(path) };
      },
    },
    registry,
    limits,
    contextToken: '',
    pool,
    idleMs: 60_000,
  });
  const targets = new ExportTargets({
    proxyName: 'gateway',
    clock,
    discovery,
    fixed: new FixedTargets({ clock, pool: { ...pool, limits }, idleMs: 60_000 }),
    limits,
    http,
    budget: () => new RetryBudget(clock),
  });
  t.after(() => {
    targets.close();
    discovery.close();
  });
  const context = (name: string) => targets.context(name, exported(name), 'east');
  return { context, limits, targets, watched };
}

function exported(name: string): Export {
  return create(ExportSchema, { namespace: 'shop', name });
}

test('more exports than a gateway may follow are served in turn: one that is not called makes room', (t) => {
  const { context, limits, watched } = gateway(t, 3);
  for (const name of ['a', 'b', 'c']) assert.ok(context(name) !== undefined);
  assert.ok(context('d') !== undefined);
  assert.equal(watched.size, 3);
  assert.equal(limits.hits('discovered_targets'), 1);
  // Whoever is called stays, and who is not goes first.
  const kept = [...watched].filter((name) => name !== 'd').slice(0, 1);
  for (const name of kept) context(name);
  context('e');
  for (const name of [...kept, 'e'])
    assert.ok(watched.has(name), `${name} is among ${[...watched].join(' ')}`);
});

test('an export that somebody waits for is not let go of', (t) => {
  const { context, watched } = gateway(t, 2);
  const waiter = { onEndpointsReady() {}, onEndpointsFailed() {} };
  context('a')?.pool.wait(waiter);
  context('b')?.pool.wait(waiter);
  assert.equal(context('c'), undefined);
  assert.deepEqual([...watched], ['a', 'b']);
});
