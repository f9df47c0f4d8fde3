import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { listen, dialTcp } from '@mesh/testkit/servers';
import { createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import { judgeProtocol } from '@mesh/transport/detect';
import { TurnShare } from '@mesh/sockets/turn-share';
import { eventually } from '@mesh/testkit/eventually';
import { readFirstBytes } from './first-bytes.ts';

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

void test('of many connections whose first bytes are there at once, each turn looks at a few', async (t) => {
  const verdicts: string[] = [];
  const sockets: Socket[] = [];
  let waits = 0;
  const turns = { share: new TurnShare(2, 0), onWait: () => void waits++ };
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {});
    sockets.push(socket);
    if (sockets.length < 10) return;
    for (const one of sockets) {
      readFirstBytes(one, {
        clock: systemClock,
        timeoutMs: 5000,
        judge: judgeProtocol,
        turns,
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
  await eventually('all are judged', () => verdicts.length === 10);
  assert.ok(verdicts.every((verdict) => verdict === 'http1'));
  assert.ok(waits >= 4, `${waits} looks were put off`);
});
