import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFieldValue, isLowerCaseName } from './header-rules.ts';
import { getHeader } from './headers.ts';
import type { RequestHead } from './message.ts';
import { isGrpc, type SyntheticReason, syntheticCauses, syntheticResponse } from './synthetic.ts';

function request(headers: string[]): RequestHead {
  return { method: 'POST', scheme: '', authority: 'a', path: '/', headers, upgrade: '', version: 20 };
}

test('HTTP: status, reason and closing from the table', () => {
  assert.deepEqual(syntheticResponse('failfast', { grpc: false, informational: true }), {
    status: 504,
    headers: [
      'content-length',
      '0',
      'l5d-proxy-error',
      'no endpoint became ready in time',
      'l5d-proxy-connection',
      'close',
    ],
  });
});

test('gRPC: trailers only, status 200', () => {
  const head = syntheticResponse('unauthorized', { grpc: true, informational: true, message: '100 % böse' });
  assert.equal(head.status, 200);
  assert.equal(getHeader(head.headers, 'grpc-status'), '7');
  assert.equal(getHeader(head.headers, 'grpc-message'), '100 %25 b%C3%B6se');
  assert.equal(getHeader(head.headers, 'content-type'), 'application/grpc');
  assert.equal(getHeader(head.headers, 'l5d-proxy-connection'), undefined);
});

test('a stranger does not learn why', () => {
  for (const grpc of [true, false]) {
    const { headers } = syntheticResponse('identity-required', { grpc, informational: false });
    assert.equal(getHeader(headers, 'l5d-proxy-error'), undefined);
    assert.equal(getHeader(headers, 'grpc-message'), undefined);
    assert.equal(getHeader(headers, 'l5d-proxy-connection'), 'close');
  }
});

test('every cause makes a head that the codecs accept', () => {
  for (const reason of Object.keys(syntheticCauses) as SyntheticReason[]) {
    for (const grpc of [true, false]) {
      const head = syntheticResponse(reason, { grpc, informational: true, message: 'a\r\nb\0 ü' });
      for (let index = 0; index < head.headers.length; index += 2) {
        assert.ok(isLowerCaseName(head.headers[index] ?? ''));
        assert.ok(isFieldValue(head.headers[index + 1] ?? '\0'), reason);
      }
      assert.ok(head.status >= 200 && head.status <= 599);
    }
  }
});

test('a redirect carries its own status and location', () => {
  const head = syntheticResponse('redirected', {
    grpc: false,
    informational: true,
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
