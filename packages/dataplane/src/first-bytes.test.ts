import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { listen, dialTcp } from '@mesh/testkit/servers';
import { createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import { type DetectedProtocol, judgeProtocol } from '@mesh/transport/detect';
import { TurnShare } from '@mesh/sockets/turn-share';
import { eventually } from '@mesh/testkit/eventually';
import { type FirstBytesOptions, readFirstBytes, type Undecided } from './first-bytes.ts';

void test('what was read is back in the socket', async (t) => {
  let received = '';
  const { port } = await listen(t, (socket: Socket) => {
    readFirstBytes(socket, {
      clock: systemClock,
      timeoutMs: 5000,
      judge: judgeProtocol,
      done: (verdict) => {
        received += `${verdict}|`;
        socket.on('data', (chunk: Buffer) => {
          received += chunk.toString();
          if (received.endsWith('\r\n\r\n')) socket.end('done');
        });
        socket.resume();
      },
    });
  });
  const client = await dialTcp(t, port);
  for (const byte of 'GET / HTTP/1.1\r\n\r\n') {
    client.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const [answer] = (await once(client, 'data')) as [Buffer];
  assert.equal(answer.toString(), 'done');
  assert.equal(received, 'http1|GET / HTTP/1.1\r\n\r\n');
});

void test('bytes of a client that ended its half are handed over', async (t) => {
  const outcome = await new Promise<string>((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      readFirstBytes(socket, {
        clock: systemClock,
        timeoutMs: 5000,
        judge: judgeProtocol,
        done: (verdict, { rest }) => {
          resolve(`${verdict} ${rest?.toString()}`);
          socket.destroy();
        },
      });
    });
    t.after(() => server.close());
    server.listen(0, '127.0.0.1', () => {
      const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
      client.on('error', reject);
      client.end('HEL');
      client.resume();
    });
  });
  assert.equal(outcome, 'ended HEL');
});

void test('a silent client has no verdict when the time is up', async (t) => {
  const clock = new FakeClock();
  const verdict = new Promise<string>((resolve) => {
    void listen(t, (socket) => {
      readFirstBytes(socket, { clock, timeoutMs: 10_000, judge: judgeProtocol, done: resolve });
      clock.advance(10_000);
    }).then(({ port }) => dialTcp(t, port));
  });
  assert.equal(await verdict, 'timeout');
});

/** Looks at the first bytes of ten connections whose requests come together. */
async function tenAtOnce(
  t: TestContext,
  options: Pick<FirstBytesOptions<DetectedProtocol>, 'clock' | 'turns'>,
): Promise<(DetectedProtocol | Undecided)[]> {
  const verdicts: (DetectedProtocol | Undecided)[] = [];
  const sockets: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {});
    sockets.push(socket);
    if (sockets.length < 10) return;
    for (const one of sockets) {
      readFirstBytes(one, {
        ...options,
        timeoutMs: 5000,
        judge: judgeProtocol,
        done: (verdict) => {
          verdicts.push(verdict);
          one.destroy();
        },
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  for (let client = 0; client < 10; client++) {
    (await dialTcp(t, (server.address() as AddressInfo).port)).write('GET / HTTP/1.1\r\n\r\n');
  }
  await eventually('all are judged', () => verdicts.length >= 10);
  return verdicts;
}

void test('of many connections whose first bytes are there at once, each turn looks at a few', async (t) => {
  let waits = 0;
  const turns = { share: new TurnShare(2, 0), onWait: () => void waits++ };
  const verdicts = await tenAtOnce(t, { clock: systemClock, turns });
  assert.ok(verdicts.every((verdict) => verdict === 'http1'));
  assert.ok(waits >= 4, `${waits} looks were put off`);
});

void test('a connection whose time is up while it waits for a look takes nobody’s turn', async (t) => {
  const clock = new FakeClock();
  const share = new TurnShare(2, 0);
  let waiting = 0;
  let left = 0;
  const onWait = (): void => {
    waiting = Math.max(waiting, share.size);
    clock.advance(5000);
    left += share.size;
  };
  const verdicts = await tenAtOnce(t, { clock, turns: { share, onWait } });
  assert.ok(waiting >= 2, `${waiting} waited`);
  assert.equal(left, 0);
  assert.deepEqual(verdicts.toSorted(), [...Array(2).fill('http1'), ...Array(8).fill('timeout')]);
});
