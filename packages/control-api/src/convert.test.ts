import { toBinary } from '@bufbuild/protobuf';
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  durationFromMs,
  durationToMs,
  formatHostPort,
  ipFromText,
  ipToText,
  parseHostPort,
  tcpAddress,
  tcpAddressToHostPort,
} from './convert.ts';
import { IPAddressSchema } from './gen/linkerd/net_pb.ts';
import { formatTimeout, parseTimeout } from './timeout.ts';

test('IPv4 is a fixed32 whose bytes appear reversed on the wire', () => {
  const address = ipFromText('10.1.2.3');
  assert.ok(address !== undefined);
  assert.equal(address.ip.value, 0x0a010203);
  assert.equal(Buffer.from(toBinary(IPAddressSchema, address)).toString('hex'), '0d0302010a');
});

test('every address survives the round trip', () => {
  fc.assert(fc.property(fc.ipV4(), (text) => assert.equal(ipToText(ipFromText(text)), text)));
  fc.assert(
    fc.property(fc.ipV6(), (text) => {
      const canonical = ipToText(ipFromText(text));
      assert.ok(canonical !== undefined, text);
      // The URL parser is an independent reading of RFC 5952.
      assert.equal(`[${canonical}]`, new URL(`http://[${text}]/`).hostname);
    }),
  );
});

test('what is no address or port is refused', () => {
  for (const text of ['', '1.2.3', '1.2.3.4.5', '256.1.1.1', '::g', 'fe80::1%eth0', 'a.b']) {
    assert.equal(ipFromText(text), undefined, text);
  }
  assert.equal(tcpAddress('1.2.3.4', 65_536), undefined);
  assert.equal(tcpAddress('1.2.3.4', 1.5), undefined);
  assert.equal(tcpAddressToHostPort(undefined), undefined);
  assert.deepEqual(tcpAddressToHostPort(tcpAddress('1.2.3.4', 80)), { host: '1.2.3.4', port: 80 });
});

test('host and port', () => {
  assert.deepEqual(parseHostPort('web.shop:80'), { host: 'web.shop', port: 80 });
  assert.deepEqual(parseHostPort('[::1]:80'), { host: '::1', port: 80 });
  assert.deepEqual(parseHostPort('web', 80), { host: 'web', port: 80 });
  for (const text of ['', ':80', 'web', 'web:', 'web:0', 'web:70000', '::1:80', 'a b:80', 'web:80x']) {
    assert.equal(parseHostPort(text), undefined, text);
  }
  assert.equal(formatHostPort({ host: '::1', port: 80 }), '[::1]:80');
});

test('durations', () => {
  assert.equal(durationToMs(durationFromMs(1500.25)), 1500.25);
  assert.equal(durationToMs(undefined), undefined);
});

test('grpc-timeout has at most eight digits', () => {
  for (const [ms, text] of [
    [0.2, '1m'],
    [3000, '3000m'],
    [2e8, '200000S'],
    [1e14, '99999999S'],
  ] as const) {
    assert.equal(formatTimeout(ms), text);
  }
  assert.equal(parseTimeout('2S'), 2000);
  assert.equal(parseTimeout('5H'), 18_000_000);
  for (const text of ['', '5', '123456789m', '5x', '-1S']) assert.equal(parseTimeout(text), undefined, text);
});
