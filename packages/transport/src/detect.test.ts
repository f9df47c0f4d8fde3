import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DetectedProtocol, detectBytes, judgeProtocol } from './detect.ts';

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
  [`GET /${'a'.repeat(detectBytes - 6)}`, undefined],
  [`GET /${'a'.repeat(detectBytes - 5)}`, 'http1'],
  [`GET /${'a'.repeat(detectBytes - 4)}`, 'http1'],
  // Of CONNECT, whose target starts with a letter, nothing is so long.
  [`GET a${'a'.repeat(detectBytes - 6)}`, undefined],
  [`GET a${'a'.repeat(detectBytes - 5)}`, 'opaque'],
  [`GET a${'a'.repeat(detectBytes - 4)}`, 'opaque'],
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

test('a request line is one wherever in it the bytes end that are looked at', () => {
  for (let length = detectBytes - 1; length <= detectBytes + 12; length++) {
    const line = `GET /${'a'.repeat(length - 16)} HTTP/1.1\r\n`;
    assert.equal(line.length, length);
    assert.equal(judgeProtocol(Buffer.from(line)), 'http1', `a line of ${length} bytes`);
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
