import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decodeTransportHeader,
  encodeTransportHeader,
  type TransportHeader,
  type TransportHeaderFault,
} from './transport-header.ts';
import { bytesField, readFields, varintField } from './wire.ts';

const plain: TransportHeader = { port: 8080, name: '', sessionProtocol: undefined, clientId: '', hops: 0 };
const preface = 'transport.l5d.io/v1\r\n\r\n';

function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  return Buffer.concat([Buffer.from(preface), length, message]);
}

test('the bytes are the ones of the protocol', () => {
  const header: TransportHeader = { ...plain, port: 4143, name: 'a.b', sessionProtocol: 'http2' };
  // port = 1: varint 4143; name = 2: "a.b"; session_protocol = 3: { http2 = 2: {} }
  const message = Buffer.from([0x08, 0xaf, 0x20, 0x12, 3, 0x61, 0x2e, 0x62, 0x1a, 2, 0x12, 0]);
  assert.deepEqual(encodeTransportHeader(header), framed(message));
  assert.deepEqual(decodeTransportHeader(framed(message)), {
    kind: 'header',
    header,
    length: preface.length + 4 + message.length,
  });
});

const headers = fc.record<TransportHeader>(
  {
    port: fc.integer({ min: 1, max: 65535 }),
    name: fc.constantFrom('', 'cart', 'cart.shop.svc.cluster.local'),
    sessionProtocol: fc.constantFrom('http1', 'http2', undefined),
    clientId: fc.constantFrom('', 'web.shop.serviceaccount.identity.mesh.east.mesh.local'),
    hops: fc.integer({ min: 0, max: 255 }),
  },
  { noNullPrototype: true },
);

test('what is written is read, at any split and with bytes of the session behind', () => {
  fc.assert(
    fc.property(headers, fc.uint8Array({ maxLength: 20 }), (header, session) => {
      const bytes = encodeTransportHeader(header);
      const expected = { kind: 'header', header, length: bytes.length };
      assert.deepEqual(decodeTransportHeader(Buffer.concat([bytes, session])), expected);
      for (let cut = 0; cut < bytes.length; cut++) {
        assert.deepEqual(decodeTransportHeader(bytes.subarray(0, cut)), { kind: 'need-more' });
      }
    }),
    { numRuns: 50 },
  );
});

test('fields of later versions are skipped', () => {
  const message = Buffer.concat([
    varintField(9, 2 ** 40),
    varintField(1, 80),
    bytesField(77, Buffer.from('x')),
    Buffer.from([(8 << 3) | 5, 1, 2, 3, 4]),
    Buffer.from([(8 << 3) | 1, 1, 2, 3, 4, 5, 6, 7, 8]),
  ]);
  assert.deepEqual(decodeTransportHeader(framed(message)), {
    kind: 'header',
    header: { ...plain, port: 80 },
    length: preface.length + 4 + message.length,
  });
});

const port = varintField(1, 80);
const refused: Record<string, [TransportHeaderFault, Buffer]> = {
  HTTP: ['bad-preface', Buffer.from('GET / HTTP/1.1\r\n')],
  'a first byte': ['bad-preface', Buffer.from('x')],
  'version 2': ['bad-preface', Buffer.from('transport.l5d.io/v2\r\n\r\n')],
  'line feeds': ['bad-preface', Buffer.from('transport.l5d.io/v1\n\n')],
  'too long': ['too-long', Buffer.concat([Buffer.from(preface), Buffer.from([0, 1, 0, 0])])],
  'much too long': ['too-long', Buffer.concat([Buffer.from(preface), Buffer.from([255, 255, 255, 255])])],
  'no port': ['bad-port', framed(Buffer.alloc(0))],
  'port 0': ['bad-port', framed(varintField(1, 0))],
  'port 65536': ['bad-port', framed(varintField(1, 65536))],
  'negative port': ['bad-port', framed(Buffer.from([8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]))],
  'port as bytes': ['bad-message', framed(bytesField(1, Buffer.from('80')))],
  'endless varint': ['bad-message', framed(Buffer.from([8, ...Buffer.alloc(11, 255)]))],
  'cut varint': ['bad-message', framed(Buffer.from([8, 0x80]))],
  'cut name': ['bad-message', framed(Buffer.concat([port, Buffer.from([0x12, 5, 0x61])]))],
  'cut fixed': ['bad-message', framed(Buffer.concat([port, Buffer.from([(8 << 3) | 5, 1])]))],
  group: ['bad-message', framed(Buffer.concat([port, Buffer.from([0x23])]))],
  'field 0': ['bad-message', framed(Buffer.concat([port, Buffer.from([0, 1])]))],
  'name with slash': ['bad-name', framed(Buffer.concat([port, bytesField(2, Buffer.from('a/b'))]))],
  'name with NUL': ['bad-name', framed(Buffer.concat([port, bytesField(2, Buffer.from('a\0'))]))],
  'name with port': ['bad-name', framed(Buffer.concat([port, bytesField(2, Buffer.from('a:80'))]))],
  'name with empty label': ['bad-name', framed(Buffer.concat([port, bytesField(2, Buffer.from('a..b'))]))],
  'long name': [
    'bad-name',
    framed(Buffer.concat([port, bytesField(2, Buffer.from('a.'.repeat(130) + 'a'))])),
  ],
  'no session kind': ['bad-session-protocol', framed(Buffer.concat([port, bytesField(3, Buffer.alloc(0))]))],
  'unknown session kind': [
    'bad-session-protocol',
    framed(Buffer.concat([port, bytesField(3, bytesField(3, Buffer.alloc(0)))])),
  ],
  'client id with line end': [
    'bad-client-id',
    framed(Buffer.concat([port, bytesField(10001, Buffer.from('a\r\nb'))])),
  ],
  'many hops': ['bad-hops', framed(Buffer.concat([port, varintField(10002, 256)]))],
};

test('everything else is refused with its reason', () => {
  for (const [name, [fault, bytes]] of Object.entries(refused)) {
    assert.deepEqual(decodeTransportHeader(bytes), { kind: 'fault', fault }, name);
  }
});

test('noise neither throws nor hangs', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => {
      readFields(Buffer.from(noise));
      assert.notEqual(decodeTransportHeader(framed(Buffer.from(noise))).kind, 'need-more');
    }),
  );
});
