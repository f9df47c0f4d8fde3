import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFieldValue, isLowerCaseName } from './header-rules.ts';
import { getHeader } from './headers.ts';
import type { RequestHead } from './message.ts';
import {
  asksToClose,
  isGrpc,
  type SyntheticReason,
  syntheticCauses,
  syntheticResponse,
  syntheticTrailers,
} from './synthetic.ts';

function request(headers: string[]): RequestHead {
  return { method: 'POST', scheme: '', authority: 'a', path: '/', headers, upgrade: '', version: 20 };
}

/** Cause → HTTP status, gRPC status, whether the client's connection ends: what Linkerd's proxies answer. */
const table: Record<SyntheticReason, readonly [http: number, grpc: number, closes: boolean]> = {
  'no-route': [404, 5, false],
  'unknown-service': [404, 5, false],
  unauthorized: [403, 7, false],
  'rate-limited': [429, 8, false],
  redirected: [302, 5, false],
  'failure-injected': [500, 9, false],
  'policy-timeout': [504, 4, false],
  'profile-timeout': [504, 4, true],
  failfast: [504, 4, true],
  'connect-timeout': [504, 4, true],
  'no-endpoints': [503, 14, true],
  overloaded: [503, 14, true],
  'slow-body': [408, 8, true],
  'identity-required': [502, 14, true],
  'endpoint-failed': [502, 14, true],
  'endpoint-protocol': [502, 14, true],
  loop: [508, 10, true],
  'bad-request': [400, 13, true],
  unexpected: [500, 13, true],
};

for (const [reason, [http, grpc, closes]] of Object.entries(table) as [
  SyntheticReason,
  (typeof table)[SyntheticReason],
][]) {
  test(`${reason}: ${http} to HTTP, ${grpc} to gRPC, ${closes ? 'and' : 'but'} the connection ${closes ? 'ends' : 'stays'}`, () => {
    const plain = syntheticResponse(reason, { grpc: false, by: 'outbound web' });
    assert.equal(plain.status, http);
    assert.equal(plain.closes, closes);
    assert.equal(asksToClose(plain), closes);
    assert.equal(getHeader(plain.headers, 'content-length'), '0');
    assert.equal(getHeader(plain.headers, 'l5d-proxy-name'), 'outbound web');
    assert.equal(getHeader(plain.headers, 'l5d-proxy-error'), syntheticCauses[reason].message);
    assert.equal(getHeader(plain.headers, 'grpc-status'), undefined);
    const trailersOnly = syntheticResponse(reason, { grpc: true, by: 'outbound web' });
    assert.equal(trailersOnly.status, 200);
    assert.equal(trailersOnly.closes, closes);
    assert.equal(getHeader(trailersOnly.headers, 'content-type'), 'application/grpc');
    assert.equal(getHeader(trailersOnly.headers, 'grpc-status'), String(grpc));
    assert.equal(getHeader(trailersOnly.headers, 'grpc-message'), syntheticCauses[reason].message);
    assert.equal(getHeader(trailersOnly.headers, 'l5d-proxy-name'), 'outbound web');
    assert.deepEqual(syntheticTrailers(reason, { by: '', message: 'x' }), ['grpc-status', String(grpc)]);
  });
}

test('a stranger learns neither why nor from whom', () => {
  for (const grpc of [true, false]) {
    const { headers } = syntheticResponse('identity-required', { grpc, by: '' });
    for (const name of ['l5d-proxy-error', 'l5d-proxy-name', 'grpc-message'])
      assert.equal(getHeader(headers, name), undefined);
    assert.equal(getHeader(headers, 'l5d-proxy-connection'), 'close');
  }
});

test('the message reaches gRPC clients whatever is in it', () => {
  const head = syntheticResponse('unauthorized', { grpc: true, by: 'a', message: '100 % böse' });
  assert.equal(getHeader(head.headers, 'grpc-message'), '100 %25 b%C3%B6se');
  assert.deepEqual(syntheticTrailers('endpoint-failed', { by: 'a', message: '100 %' }), [
    'grpc-status',
    '14',
    'grpc-message',
    '100 %25',
  ]);
});

test('every cause makes a head that the codecs accept', () => {
  for (const reason of Object.keys(syntheticCauses) as SyntheticReason[]) {
    for (const grpc of [true, false]) {
      const head = syntheticResponse(reason, { grpc, by: 'a', message: 'a\r\nb\0 ü' });
      for (let index = 0; index < head.headers.length; index += 2) {
        assert.ok(isLowerCaseName(head.headers[index] ?? ''));
        assert.ok(isFieldValue(head.headers[index + 1] ?? '\0'), reason);
      }
    }
  }
});

test('a redirect carries its own status and location', () => {
  const head = syntheticResponse('redirected', {
    grpc: false,
    by: 'a',
    status: 301,
    headers: ['location', '/b'],
  });
  assert.equal(head.status, 301);
  assert.equal(getHeader(head.headers, 'location'), '/b');
});

test('gRPC is told by its content type', () => {
  assert.ok(isGrpc(request(['content-type', 'application/grpc'])));
  assert.ok(isGrpc(request(['content-type', 'application/grpc+proto'])));
  assert.ok(!isGrpc(request(['content-type', 'application/grpc-web'])));
  assert.ok(!isGrpc(request(['content-type', 'application/json'])));
  assert.ok(!isGrpc(request([])));
});
