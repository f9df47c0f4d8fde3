/** Too much to do, and nobody to do it: who is turned away, how soon, and how it ends. Time stands still throughout. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { app, carried, http2App, rig, send, sendHttp2, spec } from './testing/forwarding-rig.ts';

const inFlight = 20;
const offered = 3 * inFlight;

/** An application that answers when the function it is given is called. */
function holding(
  version: 'http1' | 'http2',
  test: TestContext,
  onRequest: (answer: (body: string) => void) => void,
): Promise<number> {
  if (version === 'http1') return app(test, (_, response) => onRequest((body) => response.end(body)));
  return http2App(test, (stream) =>
    onRequest((body) => {
      stream.respond({ ':status': 200 });
      stream.end(body);
    }),
  );
}

for (const version of ['http1', 'http2'] as const) {
  const ask = version === 'http1' ? send : sendHttp2;

  void test(`${version}: three times what may be in flight: that much is served, the rest turned away at once`, async (test) => {
    const clock = new FakeClock();
    const held: (() => void)[] = [];
    const port = await holding(version, test, (answer) => held.push(() => answer('served')));
    const {
      port: proxy,
      pool,
      limits,
    } = await rig(test, {
      serves: version,
      clock,
      limits: { in_flight_requests: inFlight },
    });
    pool.apply([spec(port)], { replace: true });
    const statuses: number[] = [];
    const all = Array.from({ length: offered }, () =>
      ask(proxy).then(({ status }) => void statuses.push(status)),
    );
    await eventually('what is too much is answered', () => statuses.length === offered - inFlight);
    assert.deepEqual(new Set(statuses), new Set([503]));
    assert.equal(limits.hits('in_flight_requests'), offered - inFlight);
    await eventually('the rest is with the application', () => held.length === inFlight);
    for (const release of held) release();
    await Promise.all(all);
    assert.equal(statuses.filter((status) => status === 200).length, inFlight);
    // Over at once: nothing of the crowd is left behind.
    await eventually('nothing is in flight', () => pool.inFlight === 0);
    const after = ask(proxy);
    await eventually('the next one is with the application', () => held.length === inFlight + 1);
    held.at(-1)?.();
    assert.equal((await after).status, 200);
    assert.equal(clock.now(), 0);
  });

  void test(`${version}: a service scaled to nothing is refused at once, and served at once when it is back`, async (test) => {
    const clock = new FakeClock();
    const port = await holding(version, test, (answer) => answer('back'));
    const { port: proxy, pool } = await rig(test, { serves: version, clock });
    pool.apply([spec(port)], { replace: true });
    assert.equal((await ask(proxy)).status, 200);
    pool.empty(true);
    const refused = await ask(proxy);
    assert.equal(refused.status, 503);
    assert.equal(refused.headers['l5d-proxy-error'], 'cart:80 has no endpoints');
    pool.apply([spec(port)], { replace: true });
    assert.equal((await ask(proxy)).body, 'back');
    assert.equal(clock.now(), 0);
  });

  void test(`${version}: requests that wait when the first endpoint comes are served with no time passing`, async (test) => {
    const clock = new FakeClock();
    const port = await holding(version, test, (answer) => answer('first'));
    const { port: proxy, pool } = await rig(test, { serves: version, clock });
    const waiting = Array.from({ length: 10 }, () => ask(proxy));
    await eventually('they wait', () => pool.waiting === 10);
    pool.apply([spec(port)], { replace: true });
    for (const answer of await Promise.all(waiting)) assert.equal(answer.body, 'first');
    assert.equal(clock.now(), 0);
  });
}

void test('a proxy that sheds a request of another proxy refuses it, so that it may go elsewhere', async (test) => {
  const clock = new FakeClock();
  const full = await rig(test, {
    serves: 'http2',
    clock,
    limits: { in_flight_requests: 0 },
    context: { refuseUnsent: true, countBy: 'client' },
  });
  full.pool.apply([spec(await app(test, (_, response) => response.end('full')))], { replace: true });
  const free = await http2App(test, (stream) => {
    stream.respond({ ':status': 200 });
    stream.end('free');
  });
  const { port, pool } = await rig(test, { clock });
  pool.apply([carried(full.port), carried(free)], { replace: true });
  for (let request = 0; request < 5; request++) assert.equal((await send(port)).body, 'free');
  assert.equal(clock.now(), 0);
});
