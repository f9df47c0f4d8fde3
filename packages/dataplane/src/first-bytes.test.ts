import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { listen, dialTcp } from '@mesh/testkit/servers';
import { createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import { type DetectedProtocol, detectProtocol, readFirstBytes } from './first-bytes.ts';

const samples: readonly (readonly [string, DetectedProtocol])[] = [
  ['GET / HTTP/1.1\r\nhost: a\r\n\r\n', 'http1'],
  ['M-SEARCH * HTTP/1.1\r\n\r\n', 'http1'],
  ['POST /x?y HTTP/1.0\r\n', 'http1'],
  ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'http2'],
  ['SSH-2.0-OpenSSH_9\r\n', 'opaque'],
  ['EHLO example\r\n', 'opaque'],
  ['\x16\x03\x01\x02\x00', 'opaque'],
  ['*1\r\n$4\r\nPING\r\n', 'opaque'],
  [`GET /${'a'.repeat(2000)} HTTP/1.1\r\n`, 'http1'],
];

void test('protocols are told by their first bytes, however these are split', () => {
  for (const [text, expected] of samples) {
    const bytes = Buffer.from(text, 'latin1');
    assert.equal(detectProtocol(bytes), expected, text.slice(0, 40));
    for (let length = 1; length < bytes.length; length++) {
      const early = detectProtocol(bytes.subarray(0, length));
      assert.ok(early === undefined || early === expected, `${text.slice(0, 40)} at ${length}: ${early}`);
    }
  }
});

void test('what was read is back in the socket', async (t) => {
  let received = '';
  const { port } = await listen(t, (socket: Socket) => {
    readFirstBytes(socket, {
      clock: systemClock,
      timeoutMs: 5000,
      judge: detectProtocol,
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
        judge: detectProtocol,
        done: (verdict, rest) => {
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
  assert.equal(outcome, 'undecided HEL');
});

void test('a silent client is undecided when the time is up', async (t) => {
  const clock = new FakeClock();
  const verdict = new Promise<string>((resolve) => {
    void listen(t, (socket) => {
      readFirstBytes(socket, { clock, timeoutMs: 10_000, judge: detectProtocol, done: resolve });
      clock.advance(10_000);
    }).then(({ port }) => dialTcp(t, port));
  });
  assert.equal(await verdict, 'undecided');
});
