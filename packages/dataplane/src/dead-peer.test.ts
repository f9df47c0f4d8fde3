/** Peers that die, through the relay: how a request under way is answered, and who gets the next one. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { seededRandom } from '@mesh/clock/seeded';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { FaultRelay } from '@mesh/testkit/fault-relay';
import { assertNoLeaks } from '@mesh/testkit/leaks';
import { type Answer, carried, http2App, rig, send } from './testing/forwarding-rig.ts';

/** A preferred endpoint behind a relay, which answers when it is told to, and one of a lower tier that answers at once. */
async function setup(test: TestContext) {
  assertNoLeaks(test);
  const clock = new FakeClock();
  const held: (() => void)[] = [];
  const near = await http2App(test, (stream) => {
    held.push(() => {
      stream.respond({ ':status': 200 });
      stream.end('near');
    });
  });
  const far = await http2App(test, (stream) => {
    stream.respond({ ':status': 200 });
    stream.end('far');
  });
  const relay = new FaultRelay({ host: '127.0.0.1', port: near, clock, random: seededRandom(1) });
  await relay.start();
  test.after(() => relay.kill());
  const { port, pool, limits } = await rig(test, { clock });
  pool.apply([carried(relay.port), carried(far, { tier: 1 })], { replace: true });
  /** A request that the preferred endpoint has and did not answer yet. */
  const underWay = async (): Promise<{ answer: Promise<Answer> }> => {
    const before = held.length;
    const answer = send(port);
    await eventually('the endpoint has the request', () => held.length > before);
    return { answer };
  };
  return { clock, relay, port, limits, held, underWay };
}

/** Lets `ms` pass in small steps, in which sockets may speak. Stops early when `until` says so. */
async function pass(clock: FakeClock, ms: number, until: () => boolean = () => false): Promise<number> {
  const start = clock.now();
  while (clock.now() - start < ms && !until()) await clock.advanceAsync(25);
  return clock.now() - start;
}

void test('a killed peer is left at once: no time passes until another has the traffic', async (test) => {
  const { clock, relay, port, underWay } = await setup(test);
  const { answer } = await underWay();
  await relay.kill();
  const lost = await answer;
  assert.equal(lost.status, 502);
  assert.match(
    String(lost.headers['l5d-proxy-error']),
    /closed the connection before its answer was complete/,
  );
  for (let request = 0; request < 20; request++) assert.equal((await send(port)).body, 'far');
  assert.equal(clock.now(), 0);
});

void test('a peer behind a black hole is left, with what waits for it, after its silence', async (test) => {
  const { clock, relay, port, limits, underWay } = await setup(test);
  const { answer } = await underWay();
  await pass(clock, 3000);
  relay.set({ blackHole: true });
  let lost: Answer | undefined;
  void answer.then((got) => {
    lost = got;
  });
  await pass(clock, 1250);
  assert.equal(limits.hits('peer_silence_ms'), 0);
  // Half as much again is for a machine so busy that the kernel's acknowledgements look as if they had stopped.
  await pass(clock, 1000, () => limits.hits('peer_silence_ms') > 0);
  await eventually('the request is answered', () => lost !== undefined);
  assert.equal(lost?.status, 502);
  for (let request = 0; request < 20; request++) assert.equal((await send(port)).body, 'far');
});

void test('a path that stands still for a second loses nothing', async (test) => {
  const { clock, relay, limits, held, underWay } = await setup(test);
  const { answer } = await underWay();
  relay.set({ stalled: true });
  held[0]?.();
  await pass(clock, 1000);
  relay.set({ stalled: false });
  assert.equal((await answer).body, 'near');
  assert.equal(limits.hits('peer_silence_ms'), 0);
});
