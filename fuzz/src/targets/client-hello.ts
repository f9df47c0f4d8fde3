import assert from 'node:assert/strict';
import { peekClientHello } from '@mesh/trust/peek';
import { maxClientHelloBytes } from '@mesh/trust/limits';
import type { FuzzTarget } from '../target.ts';

/** Smallest hello with a server name and ALPN. */
function hello(name: string, protocol: string): Buffer {
  const length16 = (bytes: Buffer): Buffer => {
    const prefix = Buffer.alloc(2);
    prefix.writeUInt16BE(bytes.length);
    return Buffer.concat([prefix, bytes]);
  };
  const extension = (type: number, body: Buffer): Buffer =>
    Buffer.concat([Buffer.from([0, type]), length16(body)]);
  const server = Buffer.concat([Buffer.from([0]), length16(Buffer.from(name))]);
  const alpn = Buffer.concat([Buffer.from([protocol.length]), Buffer.from(protocol)]);
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32),
    Buffer.from([0]),
    length16(Buffer.from([0x13, 1])),
    Buffer.from([1, 0]),
    length16(Buffer.concat([extension(0, length16(server)), extension(16, length16(length16(alpn)))])),
  ]);
  const handshake = Buffer.concat([Buffer.from([1, 0]), length16(body)]);
  return Buffer.concat([Buffer.from([22, 3, 1]), length16(handshake)]);
}

export const clientHello: FuzzTarget = {
  name: 'client-hello',
  what: 'TLS ClientHello peek',
  seeds: () => [
    hello('cart.shop.svc', 'h2'),
    hello('', ''),
    Buffer.from([22, 3, 1, 0, 1, 1, 22, 3, 1, 0, 1, 0]),
  ],
  dictionary: [Buffer.from([22, 3, 1, 0, 2]), Buffer.from([0, 16]), Buffer.from([0, 0])],
  run(input) {
    const whole = peekClientHello(input);
    if (whole.kind === 'need-more') assert.ok(input.length < maxClientHelloBytes);
    // Decided early stays decided: fewer bytes say the same, or that more are needed.
    let decided = false;
    for (const length of [1, 3, 5, 9, 43, input.length >> 1, input.length - 1].sort((a, b) => a - b)) {
      if (length <= 0 || length >= input.length) continue;
      const part = peekClientHello(input.subarray(0, length));
      if (part.kind === 'need-more') assert.ok(!decided, 'decided, then undecided');
      else assert.deepEqual(part, whole);
      decided = part.kind !== 'need-more';
    }
  },
};
