import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { byteByByte, record } from './testing/recorder.ts';

function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

const requests: Record<string, string> = {
  plain: 'GET /a?b=c HTTP/1.1\r\nHost: Cart.Shop:80\r\nAccept: */*\r\n\r\n',
  'leading empty line': '\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n',
  length: 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello',
  chunked:
    'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n5\r\nhello\r\n00A;x=y;z="q\\"r"\r\n0123456789\r\n0\r\n\r\n',
  trailers:
    'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\n \r\n0\r\nX-Sum: 1\r\nHost: evil\r\ncontent-length: 3\r\n\r\n',
  pipelined:
    'GET /1 HTTP/1.1\r\nhost: a\r\n\r\nPOST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nokGET /3 HTTP/1.0\r\n\r\n',
  absolute: 'GET HTTP://Cart:8080?x HTTP/1.1\r\nhost: cart:8080\r\n\r\n',
  'options star': 'OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n',
  connect: 'CONNECT cart:80 HTTP/1.1\r\nhost: cart:80\r\n\r\n',
  'hop by hop':
    'GET / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, X-Hop , te\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nte: trailers\r\nproxy-connection: x\r\nx-end: 2\r\n\r\n',
  upgrade: 'GET / HTTP/1.1\r\nhost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n',
  'no h2c':
    'GET / HTTP/1.1\r\nhost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n',
  'latin1 value': 'GET / HTTP/1.1\r\nhost: a\r\nx: \xe4\t\xff \r\ny:\r\n\r\n',
};

const responses: Record<string, string> = {
  length: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  'no reason': 'HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n',
  interim: 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nlink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
  chunked: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ngrpc-status: 0\r\n\r\n',
  close: 'HTTP/1.0 200 OK\r\n\r\nuntil the end\r\n\r\n',
  switch: 'HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nraw\r\n\r\n',
};

const cases = [
  ...Object.entries(requests).map(([name, text]) => ['request', name, text] as const),
  ...Object.entries(responses).map(([name, text]) => ['response', name, text] as const),
];

test('what a request is made of', () => {
  const first = (name: string): unknown => {
    const event = record('request', [bytes(requests[name] ?? '')]).events[0] ?? '';
    return JSON.parse(event.replace(/^head /, ''));
  };
  const common = {
    method: 'GET',
    scheme: '',
    authority: 'a',
    path: '/',
    headers: [],
    upgrade: '',
    version: 11,
  };
  assert.deepEqual(first('plain'), {
    ...common,
    authority: 'cart.shop:80',
    path: '/a?b=c',
    headers: ['accept', '*/*'],
  });
  assert.deepEqual(first('absolute'), { ...common, scheme: 'http', authority: 'cart:8080', path: '/?x' });
  assert.deepEqual(first('connect'), { ...common, method: 'CONNECT', authority: 'cart:80', path: '' });
  assert.deepEqual(first('hop by hop'), { ...common, headers: ['te', 'trailers', 'x-end', '2'] });
  assert.deepEqual(first('upgrade'), { ...common, upgrade: 'websocket' });
  assert.deepEqual(first('no h2c'), common);
  assert.deepEqual(first('latin1 value'), { ...common, headers: ['x', '\xe4\t\xff', 'y', ''] });
  assert.deepEqual(first('options star'), { ...common, method: 'OPTIONS', path: '*' });
});

test('bodies and trailers', () => {
  assert.deepEqual(record('request', [bytes(requests['chunked'] ?? '')]).events.slice(1), [
    'body "hello0123456789"',
    'end null',
  ]);
  assert.deepEqual(record('request', [bytes(requests['trailers'] ?? '')]).events.slice(1), [
    'body " "',
    'end ["x-sum","1"]',
  ]);
  assert.deepEqual(record('response', [bytes(responses['chunked'] ?? '')]).events.slice(1), [
    'body "ok"',
    'end ["grpc-status","0"]',
  ]);
});

test('every valid message is read without fault, whole, byte by byte and cut in two anywhere', () => {
  for (const [role, name, text] of cases) {
    const input = bytes(text);
    const whole = record(role, [input]);
    assert.equal(whole.fault, undefined, name);
    assert.ok(whole.events.length > 0, name);
    assert.deepEqual(record(role, byteByByte(input)), whole, `${name} byte by byte`);
    for (let cut = 1; cut < input.length; cut++) {
      assert.deepEqual(
        record(role, [input.subarray(0, cut), input.subarray(cut)]),
        whole,
        `${name} cut at ${cut}`,
      );
    }
  }
});

test('arbitrary damage gives the same result however it is cut', () => {
  const damaged = fc
    .tuple(
      fc.constantFrom(...cases),
      fc.array(fc.tuple(fc.nat(400), fc.constantFrom(...'\r\n :;,\0\t0aF\x80"'))),
      fc.array(fc.nat(400)),
    )
    .map(([[role, , text], changes, cuts]) => {
      const input = bytes(text);
      for (const [at, character] of changes) input.write(character, at % input.length, 'latin1');
      const offsets = [...new Set(cuts.map((cut) => cut % input.length))].sort((a, b) => a - b);
      const pieces: Buffer[] = [];
      let from = 0;
      for (const offset of [...offsets, input.length]) {
        if (offset > from) pieces.push(input.subarray(from, offset));
        from = offset;
      }
      return { role, input, pieces };
    });
  fc.assert(
    fc.property(damaged, ({ role, input, pieces }) => {
      const whole = record(role, [input]);
      for (const split of [pieces, byteByByte(input)]) {
        const recording = record(role, split);
        assert.equal(recording.fault === undefined, whole.fault === undefined);
        // A fault in the middle of a body may be found before or after the bytes around it were delivered.
        if (whole.fault === undefined) assert.deepEqual(recording.events, whole.events);
      }
    }),
    { numRuns: 500 },
  );
});

test('noise neither throws nor loops', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('request' as const, 'response' as const),
      fc.uint8Array({ maxLength: 300 }),
      (role, noise) => {
        const input = Buffer.from(noise);
        assert.equal(
          record(role, [input]).fault === undefined,
          record(role, byteByByte(input)).fault === undefined,
        );
      },
    ),
    { numRuns: 500 },
  );
});

test('limits of head, fields, method, target, trailers and extensions', () => {
  const fault = (text: string): string | undefined => record('request', [bytes(text)]).fault;
  const start = 'GET / HTTP/1.1\r\nhost: a\r\n';
  const fields = (count: number): string => 'x: 1\r\n'.repeat(count);
  assert.equal(fault(`${start}${fields(99)}\r\n`), undefined);
  assert.equal(fault(`${start}${fields(100)}\r\n`), 'too-many-fields');
  assert.equal(fault(`${start}x: ${'y'.repeat(65536)}\r\n\r\n`), 'head-too-large');
  assert.equal(fault(`${start}x: ${'y'.repeat(65536 - start.length - 7)}\r\n\r\n`), undefined);
  assert.equal(fault(`${start}x: ${'y'.repeat(65536 - start.length - 6)}\r\n\r\n`), 'head-too-large');
  assert.equal(fault(`${start}x: ${'y'.repeat(65536)}`), 'head-too-large');
  assert.equal(fault(`${'M'.repeat(33)} / HTTP/1.1\r\nhost: a\r\n\r\n`), 'method-too-long');
  assert.equal(fault(`GET /${'a'.repeat(16384)} HTTP/1.1\r\nhost: a\r\n\r\n`), 'target-too-long');
  const chunked = 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n';
  assert.equal(fault(`${chunked}0\r\nx: ${'y'.repeat(16384)}\r\n\r\n`), 'trailer-too-large');
  assert.equal(fault(`${chunked}1;${'y'.repeat(1023)}\r\na\r\n0\r\n\r\n`), undefined);
  assert.equal(fault(`${chunked}1;${'y'.repeat(1024)}\r\na\r\n0\r\n\r\n`), 'too-many-extensions');
  assert.equal(
    fault(`${chunked}${`1;${'y'.repeat(1000)}\r\na\r\n`.repeat(17)}0\r\n\r\n`),
    'too-many-extensions',
  );
});
