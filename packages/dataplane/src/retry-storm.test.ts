/** A path of three proxies to a backend that fails everything: how often the backend is asked. */
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test, type TestContext } from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { carried, http2App, rig, send, spec } from './testing/forwarding-rig.ts';

/** Client → outbound → gateway → inbound → backends; the last two refuse what reached nobody, as between proxies. */
async function path(test: TestContext, clock: FakeClock, backends: number[]) {
  const between = { serves: 'http2', context: { refuseUnsent: true, countBy: 'client' } } as const;
  const inbound = await rig(test, { clock, ...between });
  inbound.pool.apply(
    backends.map((port) => spec(port, { protocol: 'h2', identity: 'app' })),
    { replace: true },
  );
  const gateway = await rig(test, { clock, ...between });
  gateway.pool.apply([carried(inbound.port)], { replace: true });
  const outbound = await rig(test, { clock });
  outbound.pool.apply([carried(gateway.port)], { replace: true });
  return outbound.port;
}

const offered = 1500;

/** Offers requests, at most 40 at a time, within a few seconds of the clock; returns how they were answered. */
async function offer(test: TestContext, clock: FakeClock, port: number): Promise<Map<number, number>> {
  const agent = new Agent({ keepAlive: true });
  test.after(() => agent.destroy());
  const statuses = new Map<number, number>();
  let open = 0;
  let sent = 0;
  const ask = async (): Promise<void> => {
    const { status } = await send(port, { agent, headers: { connection: 'keep-alive' } });
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    open--;
  };
  while (sent < offered || open > 0) {
    for (; open < 40 && sent < offered; open++, sent++) void ask();
    await clock.advanceAsync(2);
  }
  return statuses;
}

for (const [how, refuses, most] of [
  ['answers 503', false, 1],
  ['refuses every stream', true, 1.1],
] as const) {
  void test(`a backend that ${how} is asked at most ${most} times as often as clients ask`, async (test) => {
    const clock = new FakeClock();
    let asked = 0;
    const backend = () =>
      http2App(test, (stream) => {
        asked++;
        if (refuses) stream.close(7);
        else {
          stream.respond({ ':status': 503 });
          stream.end();
        }
      });
    const port = await path(test, clock, [await backend(), await backend()]);
    const statuses = await offer(test, clock, port);
    assert.deepEqual([...statuses], [[refuses ? 502 : 503, offered]]);
    assert.ok(asked >= offered, `${asked}`);
    assert.ok(asked <= offered * most, `${asked} of ${offered}`);
  });
}
