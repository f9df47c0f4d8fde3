import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { socketPair } from '@mesh/testkit/servers';
import { type DetectedProtocol, detectBytes, detectProtocol, judgeProtocol } from './detect.ts';

const judged: [text: string, protocol: DetectedProtocol | undefined][] = [
  ['', undefined],
  ['P', undefined],
  ['PRI * HTTP/2.', undefined],
  ['PRI * HTTP/2.0', 'http2'],
  ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'http2'],
  ['GET', undefined],
  ['GET /', undefined],
  ['GET / HTTP/1.1', undefined],
  ['GET / HTTP/1.1\r', undefined],
  ['GET / HTTP/1.1\r\n', 'http1'],
  ['GET / HTTP/1.1\r\nhost: a\r\n\r\n', 'http1'],
  ['M-SEARCH * HTTP/1.1\r\n', 'http1'],
  ['CONNECT cart:80 HTTP/1.1\r\n', 'http1'],
  ['GET http://cart/ HTTP/1.0\r\n', 'http1'],
  ['get / HTTP/1.1\r\n', 'opaque'],
  [`GET /${'a'.repeat(2000)}`, 'http1'],
  [`GET /${'a'.repeat(1000)} b c HTTP/1.1`, 'opaque'],
  ['GET key\r\n', 'opaque'],
  ['SET /a b\r\n', 'opaque'],
  ['HELO mail\r\n', 'opaque'],
  ['get key\r\n', 'opaque'],
  ['*1\r\n$4\r\nPING\r\n', 'opaque'],
  ['\0\0\0\x08\x04\xd2\x16\x2f', 'opaque'],
  ['\x16', undefined],
  ['\x16\x03', undefined],
  ['\x16\x03\x01\x02', 'tls'],
  ['\x16\x02\x01\x02', 'opaque'],
  ['A'.repeat(40), 'opaque'],
];

test('protocols by their first bytes', () => {
  for (const [text, protocol] of judged) {
    assert.equal(judgeProtocol(Buffer.from(text, 'latin1')), protocol, JSON.stringify(text.slice(0, 40)));
  }
});

test('a verdict never comes too early: byte by byte it is the one of the whole', () => {
  for (const [text, protocol] of judged) {
    const bytes = Buffer.from(text, 'latin1');
    for (let length = 1; length <= Math.min(bytes.length, detectBytes); length++) {
      const early = judgeProtocol(bytes.subarray(0, length));
      assert.ok(
        early === undefined || early === protocol,
        `${JSON.stringify(text.slice(0, 40))} at ${length}`,
      );
    }
  }
});

test('the bytes are back in the socket, however they came', async (context) => {
  const [client, server] = await socketPair(context);
  server.pause();
  const clock = new FakeClock();
  const detected = new Promise((resolve) => detectProtocol(server, { clock, timeoutMs: 10_000 }, resolve));
  const text = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';
  for (const byte of text) {
    client.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(await detected, 'http1');
  assert.equal(clock.pending, 0);
  let received = '';
  server.on('data', (chunk: Buffer) => (received += chunk.toString()));
  server.resume();
  client.end('rest');
  await once(server, 'end');
  assert.equal(received, `${text}rest`);
});

test('a silent client is opaque after the timeout; one that began, too', async (context) => {
  for (const start of ['', 'GET /']) {
    const [client, server] = await socketPair(context);
    server.pause();
    const clock = new FakeClock();
    let verdict: string | undefined;
    detectProtocol(server, { clock, timeoutMs: 10_000 }, (protocol) => (verdict = protocol));
    if (start !== '') {
      client.write(start);
      await eventually('the bytes arrived', () => server.bytesRead === start.length);
    }
    clock.advance(9_999);
    assert.equal(verdict, undefined);
    clock.advance(1);
    assert.equal(verdict, 'opaque');
    let received = '';
    server.on('data', (chunk: Buffer) => (received += chunk.toString()));
    server.resume();
    client.end('!');
    await once(server, 'end');
    assert.equal(received, `${start}!`);
  }
});

test('a client that leaves is reported with what it sent', async (context) => {
  const [client, server] = await socketPair(context);
  server.pause();
  const clock = new FakeClock();
  const result = new Promise<[string, string]>((resolve) => {
    detectProtocol(server, { clock, timeoutMs: 10_000 }, (protocol, rest) =>
      resolve([protocol, rest.toString()]),
    );
  });
  client.end('GET');
  assert.deepEqual(await result, ['closed', 'GET']);
  assert.equal(clock.pending, 0);
});
