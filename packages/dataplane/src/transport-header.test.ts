import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeTransportHeader, parseTransportHeader, type TransportHeader } from './transport-header.ts';

const headers: fc.Arbitrary<TransportHeader> = fc.record({
  port: fc.integer({ min: 1, max: 65_535 }),
  name: fc.constantFrom('', 'cart.shop.svc.cluster.local'),
  protocol: fc.constantFrom('http1' as const, 'http2' as const, 'opaque' as const),
  client: fc.constantFrom('', 'a.b.serviceaccount.identity.mesh.east.mesh.local'),
});

void test('a header is read back whatever follows it and however it is split', () => {
  fc.assert(
    fc.property(headers, fc.uint8Array({ maxLength: 20 }), (header, rest) => {
      const encoded = encodeTransportHeader(header);
      for (let length = 0; length < encoded.length; length++) {
        assert.equal(parseTransportHeader(encoded.subarray(0, length)).kind, 'need-more');
      }
      const parsed = parseTransportHeader(Buffer.concat([encoded, rest]));
      assert.deepEqual(parsed, { kind: 'header', header: { ...header }, length: encoded.length });
    }),
  );
});

void test('the bytes of a header', () => {
  const encoded = encodeTransportHeader({ port: 4143, name: 'a.b', protocol: 'http2', client: '' });
  assert.equal(
    encoded.toString('latin1'),
    'transport.l5d.io/v1\r\n\r\n\0\0\0\x0c\x08\xaf\x20\x12\x03a.b\x1a\x02\x12\x00',
  );
});

void test('anything else is a fault and never throws', () => {
  const framed = (message: number[]): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(message.length);
    return Buffer.concat([Buffer.from('transport.l5d.io/v1\r\n\r\n'), length, Buffer.from(message)]);
  };
  for (const message of [
    [],
    [8, 0],
    [8, 0xff, 0xff, 0x7f],
    [8, 80, 0x12, 9, 65],
    [8, 80, 0x1a, 2, 0x1a, 0],
  ]) {
    assert.equal(parseTransportHeader(framed(message)).kind, 'fault', String(message));
  }
  assert.equal(parseTransportHeader(Buffer.from('GET / HTTP/1.1')).kind, 'fault');
  fc.assert(fc.property(fc.uint8Array(), (bytes) => parseTransportHeader(framed([...bytes])) !== undefined));
});
