import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@mesh/clock/seeded';
import { LimitLedger } from '@mesh/limits/limits';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { listen } from '@mesh/testkit/servers';
import { eventually } from '@mesh/testkit/eventually';
import { ConnectError, connectTcp, type DialTarget } from './connector.ts';
import { peerTickMs } from './keep-alive.ts';
import { dataplaneLimits } from './limits.ts';
import { defaultCodecs, Peer } from './peer.ts';
import { SharedTicker } from './shared-ticker.ts';

function setup(port = 1) {
  const clock = new FakeClock();
  const dialledAt: number[] = [];
  let refuse = true;
  const target: DialTarget = { host: '127.0.0.1', port, identity: undefined, gateway: false };
  const peer = new Peer(target, {
    clock,
    random: seededRandom(3),
    connector: {
      connect: (asked) => {
        dialledAt.push(clock.now());
        if (refuse) return Promise.reject(new ConnectError('ECONNREFUSED', { timedOut: false }));
        return connectTcp(asked, { clock, timeoutMs: 1000 });
      },
    },
    limits: new LimitLedger(dataplaneLimits),
    ...defaultCodecs(),
    ticker: new SharedTicker(clock, peerTickMs),
  });
  const heard: boolean[] = [];
  peer.watch({ onReachable: (reachable) => heard.push(reachable) });
  const submit = (): void => {
    peer.h1.submit({ onConnection: () => {}, onConnectFailed: () => {} });
  };
  return {
    clock,
    peer,
    heard,
    dialledAt,
    submit,
    accept: () => {
      refuse = false;
    },
  };
}

void test('a refused connect makes a peer unreachable at once; it is tried again with growing, jittered pauses', async () => {
  const { clock, peer, heard, dialledAt, submit } = setup();
  submit();
  await clock.advanceAsync(0, 1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(heard, [false]);
  assert.equal(peer.lastFault, 'ECONNREFUSED');
  await clock.advanceAsync(60_000, 10);
  const pauses = dialledAt.slice(1).map((at, index) => at - (dialledAt[index] ?? 0));
  for (const [index, pause] of pauses.entries()) {
    const due = Math.min(10_000, 100 * 2 ** index);
    assert.ok(pause >= due * 0.9 && pause <= due * 1.1 + 10, `pause ${index} was ${pause} ms`);
  }
  assert.ok(pauses.length >= 9);
  assert.ok(new Set(pauses.map((pause, index) => pause / Math.min(10_000, 100 * 2 ** index))).size > 3);
  assert.deepEqual(heard, [false], 'waiting alone makes nothing reachable');
  peer.close({ graceful: false });
  assert.equal(clock.pending, 0);
});

void test('a connection that succeeds makes it reachable, and the next failure starts with the short pause', async (test) => {
  const { port } = await listen(test, () => {});
  const { clock, peer, heard, dialledAt, submit, accept } = setup(port);
  submit();
  await clock.advanceAsync(5000, 10);
  accept();
  await clock.advanceAsync(5000, 10);
  await eventually('it is reachable', () => heard.at(-1) === true);
  assert.deepEqual(heard, [false, true]);
  assert.equal(peer.lastFault, '');
  const dials = dialledAt.length;
  await clock.advanceAsync(60_000, 100);
  assert.equal(dialledAt.length, dials, 'no more tries once it is there');
  peer.close({ graceful: false });
});
