/** Messages that must be refused: re-authored from RFC 9112/9110 and the known classes of request smuggling. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import type { StreamHandler } from '@mesh/http/message';
import { LimitLedger } from '@mesh/limits/limits';
import { dialTcp, listen } from '@mesh/testkit/servers';
import { type Http1Fault, http1Faults } from './faults.ts';
import { http1Limits } from './limits.ts';
import { serveHttp1 } from './server.ts';
import { byteByByte, record } from './testing/recorder.ts';

const get = 'GET / HTTP/1.1\r\nHost: a\r\n';
const post = 'POST / HTTP/1.1\r\nHost: a\r\n';
const chunked = `${post}Transfer-Encoding: chunked\r\n\r\n`;

const refused: Record<string, [fault: Http1Fault, text: string]> = {
  // Request line
  'leading space': ['bad-request-line', ' GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  'two spaces after method': ['bad-request-line', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n'],
  'two spaces after target': ['bad-request-line', 'GET /  HTTP/1.1\r\nHost: a\r\n\r\n'],
  'tab after method': ['bad-request-line', 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  'space in target': ['bad-request-line', 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n'],
  'trailing space': ['bad-request-line', 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n'],
  'no version': ['bad-request-line', 'GET /\r\nHost: a\r\n\r\n'],
  'lower-case version': ['bad-request-line', 'GET / http/1.1\r\nHost: a\r\n\r\n'],
  'version 1.2': ['bad-version', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n'],
  'version 2.0': ['bad-version', 'PRI * HTTP/2.0\r\n\r\n'],
  'version 0.9': ['bad-version', 'GET / HTTP/0.9\r\nHost: a\r\n\r\n'],
  'version 1.10': ['bad-request-line', 'GET / HTTP/1.10\r\nHost: a\r\n\r\n'],
  'version 11': ['bad-request-line', 'GET / HTTP/11\r\nHost: a\r\n\r\n'],
  'empty method': ['bad-request-line', '/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  'method not a token': ['bad-request-line', 'G@T / HTTP/1.1\r\nHost: a\r\n\r\n'],
  'method with NUL': ['bad-request-line', 'G\0T / HTTP/1.1\r\nHost: a\r\n\r\n'],
  'two empty lines first': ['bad-request-line', '\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  'line feed after request line': ['bare-line-feed', 'GET / HTTP/1.1\nHost: a\r\n\r\n'],
  'CR in request line': ['bad-path', 'GET /\r HTTP/1.1\r\nHost: a\r\n\r\n'],
  // Target
  'relative path': ['bad-path', 'GET a HTTP/1.1\r\nHost: a\r\n\r\n'],
  'encoded first slash': ['bad-path', 'GET %2fa HTTP/1.1\r\nHost: a\r\n\r\n'],
  'star without OPTIONS': ['bad-path', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n'],
  fragment: ['bad-path', 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n'],
  'NUL in path': ['bad-path', 'GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n'],
  'DEL in path': ['bad-path', 'GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n'],
  'byte above ASCII in path': ['bad-path', 'GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n'],
  'other scheme': ['bad-path', 'GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  'absolute without host': ['bad-authority', 'GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n'],
  'absolute with user': ['bad-authority', 'GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n'],
  'absolute differs from host': ['host-mismatch', 'GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  'CONNECT with path': ['host-mismatch', 'CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n'],
  'CONNECT without port': ['bad-authority', 'CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n'],
  'CONNECT differs from host': ['host-mismatch', 'CONNECT b:80 HTTP/1.1\r\nHost: a:80\r\n\r\n'],
  // Host
  'no host': ['no-host', 'GET / HTTP/1.1\r\n\r\n'],
  'two hosts': ['several-hosts', `${get}Host: a\r\n\r\n`],
  'host list': ['bad-authority', 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n'],
  'host with user': ['bad-authority', 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n'],
  'host with path': ['bad-authority', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n'],
  'host with zone': ['bad-authority', 'GET / HTTP/1.1\r\nHost: [fe80::1%eth0]\r\n\r\n'],
  'host with encoded zone': ['bad-authority', 'GET / HTTP/1.1\r\nHost: [fe80::1%25e]\r\n\r\n'],
  'host with empty port': ['bad-authority', 'GET / HTTP/1.1\r\nHost: a:\r\n\r\n'],
  'host with large port': ['bad-authority', 'GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n'],
  'host with signed port': ['bad-authority', 'GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n'],
  'host with two ports': ['bad-authority', 'GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n'],
  // Field lines
  'space before colon': ['space-before-colon', `${get}X : 1\r\n\r\n`],
  'tab before colon': ['space-before-colon', `${get}X\t: 1\r\n\r\n`],
  'space before first name': ['obs-fold', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n'],
  'obs-fold with space': ['obs-fold', `${get}X: 1\r\n 2\r\n\r\n`],
  'obs-fold with tab': ['obs-fold', `${get}X: 1\r\n\t2\r\n\r\n`],
  'no colon': ['bad-field-name', `${get}X\r\n\r\n`],
  'empty name': ['bad-field-name', `${get}: 1\r\n\r\n`],
  'space in name': ['space-before-colon', `${get}X Y: 1\r\n\r\n`],
  'NUL in name': ['bad-field-name', `${get}X\0: 1\r\n\r\n`],
  'byte above ASCII in name': ['bad-field-name', `${get}X\xe4: 1\r\n\r\n`],
  'parenthesis in name': ['bad-field-name', `${get}X(: 1\r\n\r\n`],
  'NUL in value': ['bad-field-value', `${get}X: a\0b\r\n\r\n`],
  'DEL in value': ['bad-field-value', `${get}X: a\x7fb\r\n\r\n`],
  'VT in value': ['bad-field-value', `${get}X: a\vb\r\n\r\n`],
  'bare CR in value': ['bad-field-value', `${get}X: a\rb\r\n\r\n`],
  'CR before CR LF': ['bad-field-value', `${get}X: a\r\r\n\r\n`],
  'bare LF in value': ['bare-line-feed', `${get}X: a\nY: b\r\n\r\n`],
  'bare LF as last line end': ['bare-line-feed', `${get}X: a\n\r\n`],
  'bare LF for the empty line': ['bare-line-feed', `${get}X: a\r\n\n`],
  // Content-Length
  'length twice, equal': [
    'several-content-lengths',
    `${post}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`,
  ],
  'length twice, different': [
    'several-content-lengths',
    `${post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`,
  ],
  'length list, equal': ['bad-content-length', `${post}Content-Length: 5, 5\r\n\r\nhello`],
  'length with plus': ['bad-content-length', `${post}Content-Length: +5\r\n\r\nhello`],
  'negative length': ['bad-content-length', `${post}Content-Length: -5\r\n\r\nhello`],
  'negative zero': ['bad-content-length', `${post}Content-Length: -0\r\n\r\n`],
  'leading zero': ['bad-content-length', `${post}Content-Length: 05\r\n\r\nhello`],
  'hexadecimal length': ['bad-content-length', `${post}Content-Length: 0x5\r\n\r\nhello`],
  'spaced length': ['bad-content-length', `${post}Content-Length: 5 5\r\n\r\nhello`],
  'underscored length': ['bad-content-length', `${post}Content-Length: 1_0\r\n\r\nhello`],
  'fractional length': ['bad-content-length', `${post}Content-Length: 5.0\r\n\r\nhello`],
  'empty length': ['bad-content-length', `${post}Content-Length:\r\n\r\n`],
  'overflowing length': ['bad-content-length', `${post}Content-Length: 18446744073709551621\r\n\r\nhello`],
  // Transfer-Encoding
  'length and chunked': [
    'length-and-chunked',
    `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ],
  'chunked and length': [
    'length-and-chunked',
    `${post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
  ],
  xchunked: ['bad-transfer-encoding', `${post}Transfer-Encoding: xchunked\r\n\r\n`],
  identity: ['bad-transfer-encoding', `${post}Transfer-Encoding: identity\r\n\r\n`],
  'chunked in quotes': ['bad-transfer-encoding', `${post}Transfer-Encoding: "chunked"\r\n\r\n`],
  'chunked with comma': ['bad-transfer-encoding', `${post}Transfer-Encoding: chunked,\r\n\r\n`],
  'comma, chunked': ['bad-transfer-encoding', `${post}Transfer-Encoding: ,chunked\r\n\r\n`],
  'chunked twice in a list': ['bad-transfer-encoding', `${post}Transfer-Encoding: chunked, chunked\r\n\r\n`],
  'chunked in two fields': [
    'bad-transfer-encoding',
    `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
  ],
  'gzip, chunked': ['bad-transfer-encoding', `${post}Transfer-Encoding: gzip, chunked\r\n\r\n`],
  'chunked, identity': ['bad-transfer-encoding', `${post}Transfer-Encoding: chunked, identity\r\n\r\n`],
  'chunked with parameter': ['bad-transfer-encoding', `${post}Transfer-Encoding: chunked;q=1\r\n\r\n`],
  'empty transfer-encoding': ['bad-transfer-encoding', `${post}Transfer-Encoding:\r\n\r\n`],
  'vertical tab before chunked': ['bad-field-value', `${post}Transfer-Encoding: \vchunked\r\n\r\n`],
  'chunked in 1.0': [
    'bad-transfer-encoding',
    'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  // Connection and expectation
  'connection names content-length': [
    'bad-connection',
    `${post}Connection: content-length\r\nContent-Length: 5\r\n\r\nhello`,
  ],
  'connection names host': ['bad-connection', `${get}Connection: close, host\r\n\r\n`],
  'connection not a token': ['bad-connection', `${get}Connection: a b\r\n\r\n`],
  'other expectation': ['bad-expectation', `${post}Expect: 200-ok\r\nContent-Length: 5\r\n\r\n`],
  'two expectations': [
    'bad-expectation',
    `${post}Expect: 100-continue\r\nExpect: x\r\nContent-Length: 5\r\n\r\n`,
  ],
  // Chunks
  'empty chunk size': ['bad-chunk-size', `${chunked}\r\nhello\r\n0\r\n\r\n`],
  'chunk size with 0x': ['bad-chunk-size', `${chunked}0x5\r\nhello\r\n0\r\n\r\n`],
  'chunk size with plus': ['bad-chunk-size', `${chunked}+5\r\nhello\r\n0\r\n\r\n`],
  'chunk size with minus': ['bad-chunk-size', `${chunked}-5\r\nhello\r\n0\r\n\r\n`],
  'chunk size with underscore': ['bad-chunk-size', `${chunked}1_0\r\nhello\r\n0\r\n\r\n`],
  'space before chunk size': ['bad-chunk-size', `${chunked} 5\r\nhello\r\n0\r\n\r\n`],
  'space after chunk size': ['bad-chunk-size', `${chunked}5 \r\nhello\r\n0\r\n\r\n`],
  'chunk size not hexadecimal': ['bad-chunk-size', `${chunked}g\r\nhello\r\n0\r\n\r\n`],
  'nine digits': ['bad-chunk-size', `${chunked}000000005\r\nhello\r\n0\r\n\r\n`],
  'overflowing chunk size': ['bad-chunk-size', `${chunked}10000000000000005\r\nhello\r\n0\r\n\r\n`],
  'LF after chunk size': ['bare-line-feed', `${chunked}5\nhello\r\n0\r\n\r\n`],
  'CR after chunk size': ['bad-chunk-size', `${chunked}5\rhello\r\n0\r\n\r\n`],
  'LF after chunk': ['bad-chunk-end', `${chunked}5\r\nhello\n0\r\n\r\n`],
  'nothing after chunk': ['bad-chunk-end', `${chunked}5\r\nhello0\r\n\r\n`],
  'chunk longer than size': ['bad-chunk-end', `${chunked}4\r\nhello\r\n0\r\n\r\n`],
  'bare semicolon': ['bad-chunk-extension', `${chunked}5;\r\nhello\r\n0\r\n\r\n`],
  'space in extension': ['bad-chunk-extension', `${chunked}5; a\r\nhello\r\n0\r\n\r\n`],
  'NUL in extension': ['bad-chunk-extension', `${chunked}5;a\0\r\nhello\r\n0\r\n\r\n`],
  'LF in extension': ['bare-line-feed', `${chunked}5;a\nb\r\nhello\r\n0\r\n\r\n`],
  'open quote in extension': ['bad-chunk-extension', `${chunked}5;a="b\r\nhello\r\n0\r\n\r\n`],
  'extension without size': ['bad-chunk-size', `${chunked};a\r\nhello\r\n0\r\n\r\n`],
  // Trailers
  'obs-fold in trailers': ['obs-fold', `${chunked}0\r\nX: 1\r\n 2\r\n\r\n`],
  'space before colon in trailers': ['space-before-colon', `${chunked}0\r\nX : 1\r\n\r\n`],
  'bare LF in trailers': ['bare-line-feed', `${chunked}0\r\nX: 1\n\r\n`],
  'NUL in trailers': ['bad-field-value', `${chunked}0\r\nX: \0\r\n\r\n`],
};

const refusedResponses: Record<string, [fault: Http1Fault, text: string]> = {
  'not HTTP': ['bad-status-line', 'ICY 200 OK\r\n\r\n'],
  'leading empty line': ['bad-status-line', '\r\nHTTP/1.1 200 OK\r\n\r\n'],
  'version 2.0': ['bad-status-line', 'HTTP/2.0 200 OK\r\n\r\n'],
  'version 1.2': ['bad-version', 'HTTP/1.2 200 OK\r\n\r\n'],
  'two digits': ['bad-status-line', 'HTTP/1.1 20 OK\r\n\r\n'],
  'four digits': ['bad-status-line', 'HTTP/1.1 2000 OK\r\n\r\n'],
  'status 600': ['bad-status-line', 'HTTP/1.1 600 OK\r\n\r\n'],
  'status 099': ['bad-status-line', 'HTTP/1.1 099 OK\r\n\r\n'],
  'two spaces': ['bad-status-line', 'HTTP/1.1  200 OK\r\n\r\n'],
  'NUL in reason': ['bad-status-line', 'HTTP/1.1 200 O\0K\r\n\r\n'],
  'length and chunked': [
    'length-and-chunked',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n',
  ],
  'two lengths': [
    'several-content-lengths',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n',
  ],
  'length list': ['bad-content-length', 'HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n'],
  'unknown coding': ['bad-transfer-encoding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'],
  'chunked in 1.0': ['bad-transfer-encoding', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
  '204 with body': ['body-not-allowed', 'HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello'],
  '100 with body': ['body-not-allowed', 'HTTP/1.1 100 C\r\nTransfer-Encoding: chunked\r\n\r\n'],
  'obs-fold': ['obs-fold', 'HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n'],
  'bare LF': ['bare-line-feed', 'HTTP/1.1 200 OK\r\nX: 1\n\r\n'],
  'bad chunk': ['bad-chunk-size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n'],
};

test('the parser names the reason, whole and byte by byte', () => {
  assert.ok(Object.keys(refused).length >= 80);
  for (const [role, table] of [
    ['request', refused],
    ['response', refusedResponses],
  ] as const) {
    for (const [name, [fault, text]] of Object.entries(table)) {
      const input = Buffer.from(text, 'latin1');
      assert.equal(record(role, [input]).fault, fault, `${role}: ${name}`);
      assert.notEqual(record(role, byteByByte(input)).fault, undefined, `${role}: ${name}, byte by byte`);
    }
  }
});

test('every byte that is no token character is refused in a name, every control character in a value', () => {
  for (let byte = 0; byte < 256; byte++) {
    const character = String.fromCharCode(byte);
    const fault = (line: string): string | undefined =>
      record('request', [Buffer.from(`${get}${line}\r\n\r\n`, 'latin1')]).fault;
    const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z:]$/.test(character);
    assert.equal(fault(`a${character}b: 1`) === undefined, token, `name, byte ${byte}`);
    const text = byte === 9 || (byte >= 0x20 && byte !== 0x7f);
    assert.equal(fault(`x: a${character}b`) === undefined, text, `value, byte ${byte}`);
  }
});

test('a server answers each with its status, closes, and lets nothing through that was not complete', async (context) => {
  const limits = new LimitLedger(http1Limits);
  let completed = 0;
  let faults: Http1Fault[] = [];
  const handler: StreamHandler = {
    onData: () => {},
    onEnd: () => completed++,
    onReset: () => {},
    onDrain: () => {},
  };
  const { port } = await listen(context, (socket) => {
    serveHttp1(
      socket,
      {
        onRequest: (_stream, _head, end) => {
          if (end) completed++;
          return handler;
        },
        onClose: () => {},
      },
      { clock: systemClock, limits, onFault: (fault) => faults.push(fault) },
    );
  });
  for (const [name, [fault, text]] of Object.entries(refused)) {
    completed = 0;
    faults = [];
    const socket = await dialTcp(context, port);
    let answer = '';
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
    // A second request right behind it, as a smuggler would.
    socket.write(Buffer.from(`${text}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`, 'latin1'));
    await once(socket, 'end');
    socket.end();
    assert.equal(answer.slice(0, 12), `HTTP/1.1 ${http1Faults[fault].status}`, name);
    assert.match(answer, /\r\nconnection: close\r\n/, name);
    assert.deepEqual(faults, [fault], name);
    assert.equal(completed, 0, name);
  }
});
