import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  decodeGrpcMessage,
  encodeGrpcMessage,
  GrpcError,
  grpcCode,
  grpcCodeName,
  parseGrpcCode,
  statusOf,
  statusOfHttp,
  statusOfReset,
} from './status.ts';

test('grpc-message survives the wire as a valid header value', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (message) => {
      const encoded = encodeGrpcMessage(message);
      assert.match(encoded, /^[\x20-\x7e]*$/);
      assert.equal(encoded, encoded.trim());
      assert.equal(decodeGrpcMessage(encoded), message);
    }),
  );
});

test('broken escapes are kept', () => {
  assert.equal(decodeGrpcMessage('100% of %zz %4'), '100% of %zz %4');
});

test('codes: known ones by number, anything else is unknown', () => {
  assert.equal(parseGrpcCode('5'), grpcCode.notFound);
  for (const text of ['', '17', '-1', 'x', '5 ', '005']) assert.equal(parseGrpcCode(text), grpcCode.unknown);
  assert.equal(grpcCodeName(grpcCode.permissionDenied), 'permissionDenied');
});

test('text of foreign errors does not reach the client', () => {
  assert.deepEqual(statusOf(new GrpcError(grpcCode.notFound, 'no such')), { code: 5, message: 'no such' });
  assert.deepEqual(statusOf(new Error('password is x')), { code: 13, message: 'internal error' });
});

test('HTTP and reset causes map to codes', () => {
  assert.equal(statusOfHttp(503).code, grpcCode.unavailable);
  assert.equal(statusOfHttp(404).code, grpcCode.unimplemented);
  assert.equal(statusOfHttp(418).code, grpcCode.unknown);
  assert.equal(statusOfReset('refused').code, grpcCode.unavailable);
  assert.equal(statusOfReset('cancel').code, grpcCode.cancelled);
});
