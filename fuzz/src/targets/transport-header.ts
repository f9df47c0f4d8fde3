import assert from 'node:assert/strict';
import {
  decodeTransportHeader,
  encodeTransportHeader,
  maxTransportHeaderBytes,
  type TransportHeader,
} from '@mesh/transport/transport-header';
import type { FuzzTarget } from '../target.ts';

const plain: TransportHeader = { port: 80, name: '', sessionProtocol: undefined, clientId: '', hops: 0 };

export const transportHeader: FuzzTarget = {
  name: 'transport-header',
  what: 'transport.l5d.io/v1 header',
  seeds: () => [
    encodeTransportHeader(plain),
    encodeTransportHeader({ ...plain, name: 'cart.shop.svc.cluster.local', sessionProtocol: 'http2' }),
    encodeTransportHeader({ ...plain, clientId: 'web.shop', hops: 2, sessionProtocol: 'http1' }),
  ],
  dictionary: [Buffer.from([0x1a, 2, 0x0a, 0]), Buffer.from([0x8a, 0xf1, 4]), Buffer.from([8, 80])],
  run(input) {
    const read = decodeTransportHeader(input);
    if (read.kind === 'need-more') assert.ok(input.length < maxTransportHeaderBytes);
    if (read.kind !== 'header') return;
    const { header, length } = read;
    assert.ok(length <= input.length && header.port > 0 && header.port < 65_536);
    const again = decodeTransportHeader(encodeTransportHeader(header));
    assert.ok(again.kind === 'header');
    assert.deepEqual(again.header, header);
    assert.equal(decodeTransportHeader(input.subarray(0, length - 1)).kind, 'need-more');
  },
};
