/** One connection's input does not hold up the others': it is taken in shares, a turn of the event loop for each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { dialTcp, listen } from '@mesh/testkit/servers';
import { atTurnEnd } from '@mesh/sockets/turn';
import { http2Limits } from './limits.ts';
import { serveHttp2 } from './server.ts';
import { Attacker } from './testing/attacker.ts';
import { EchoListener } from './testing/exchange.ts';
import { DATA, END_STREAM, frame, HEADERS, openRequest, PRIORITY, request, u32 } from './testing/raw-peer.ts';

const odd = (index: number): number => 2 * index + 1;

/** Notes how many frames, by `count`, were taken in each turn of the event loop. */
async function turnsOf(count: () => number, all: number): Promise<number[]> {
  const shares: number[] = [];
  let last = 0;
  await new Promise<void>((resolve) => {
    const look = (): void => {
      const now = count();
      if (now > last) shares.push(now - last);
      last = now;
      if (now >= all) resolve();
      else atTurnEnd({ onTurnEnd: look });
    };
    look();
  });
  return shares;
}

test('a hundred requests in one segment are taken over several turns, in order, and each is answered', async (t) => {
  const limits = new LimitLedger(http2Limits);
  const listener = new EchoListener();
  const { port } = await listen(t, (socket) => {
    serveHttp2(socket, listener, { clock: new FakeClock(), limits });
  });
  const attacker = await Attacker.over(await dialTcp(t, port));
  await eventually('the connection is open', () => attacker.frames.length > 0);
  const paths = Array.from({ length: 100 }, (_, index) => `/${index}`);
  const shares = turnsOf(() => listener.heads.length, 100);
  await attacker.send(
    ...paths.map((path, index) =>
      request(odd(index), [':method', 'GET', ':scheme', 'http', ':path', path, ':authority', 'a']),
    ),
  );
  for (const share of await shares) assert.ok(share <= 2 * (512 / 25), `${share} in one turn`);
  assert.ok(limits.hits('http2_turn_work') >= 4);
  assert.deepEqual(
    listener.heads.map(({ path }) => path),
    paths,
  );
  await eventually('all are answered', () => {
    return attacker.frames.filter(({ type }) => type === HEADERS).length === 100;
  });
});

test('what waits for its turn is not lost: body bytes arrive whole, and so does the end of the connection', async (t) => {
  const limits = new LimitLedger(http2Limits, { http2_turn_work: 10, http2_priority_frames: 10_000 });
  const listener = new EchoListener();
  const { port } = await listen(t, (socket) => {
    serveHttp2(socket, listener, { clock: new FakeClock(), limits });
  });
  const attacker = await Attacker.over(await dialTcp(t, port));
  const pieces = Array.from({ length: 500 }, (_, index) => frame(DATA, 0, 1, `${index},`));
  const idle = frame(PRIORITY, 0, 3, u32(1, 0).subarray(0, 5));
  await attacker.send(
    openRequest(1, [':method', 'POST', ':scheme', 'http', ':path', '/echo', ':authority', 'a']),
    ...pieces.flatMap((piece) => [piece, idle]),
    frame(DATA, END_STREAM, 1),
  );
  await eventually('the body came back', () => {
    const body = attacker.frames.filter(({ type }) => type === DATA).map(({ payload }) => payload);
    return Buffer.concat(body).toString() === pieces.map((_, index) => `${index},`).join('');
  });
  assert.ok(limits.hits('http2_turn_work') >= 100);
  attacker.destroy();
  await eventually('the end arrived', () => listener.closed === 1);
});
