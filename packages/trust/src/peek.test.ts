import assert from 'node:assert/strict';
import { once } from 'node:events';
import test, { before } from 'node:test';
import { connect as connectTcp, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { connect, type ConnectionOptions } from 'node:tls';
import fc from 'fast-check';
import { maxClientHelloBytes } from './limits.ts';
import { type Peek, peekClientHello } from './peek.ts';

/** The first flight of a real client. */
async function helloOf(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect({
    socket: connectTcp((server.address() as AddressInfo).port, '127.0.0.1'),
    rejectUnauthorized: false,
    ...options,
  });
  client.on('error', () => {});
  const [socket] = (await once(server, 'connection')) as [ReturnType<typeof connectTcp>];
  let bytes = Buffer.alloc(0);
  while (peekClientHello(bytes).kind === 'need-more') {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    bytes = Buffer.concat([bytes, chunk]);
  }
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}

let full: Buffer;
let bare: Buffer;
const expected: Peek = { kind: 'tls', sni: 'cart.shop.example', alpn: ['transport.l5d.io/v1', 'h2'] };

before(async () => {
  full = await helloOf({ servername: 'cart.shop.example', ALPNProtocols: ['transport.l5d.io/v1', 'h2'] });
  bare = await helloOf({});
});

/** The same handshake bytes in records of at most `size`. */
function fragment(hello: Buffer, size: number): Buffer {
  const body = hello.subarray(5);
  const records: Buffer[] = [];
  for (let offset = 0; offset < body.length; offset += size) {
    const part = body.subarray(offset, offset + size);
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 0xff]), part);
  }
  return Buffer.concat(records);
}

test('server name and protocols of a real client', () => {
  assert.deepEqual(peekClientHello(full), expected);
  assert.deepEqual(peekClientHello(bare), { kind: 'tls', alpn: [] });
});

test('upper-case names are folded', async () => {
  const hello = await helloOf({ servername: 'Cart.EXAMPLE' });
  assert.deepEqual(peekClientHello(hello), { kind: 'tls', sni: 'cart.example', alpn: [] });
});

test('every proper prefix asks for more, whatever follows changes nothing', () => {
  for (const hello of [full, bare]) {
    for (let length = 0; length < hello.length; length++) {
      assert.deepEqual(
        peekClientHello(hello.subarray(0, length)),
        { kind: 'need-more' },
        `prefix of ${length}`,
      );
    }
    const verdict = peekClientHello(hello);
    for (const tail of [
      Buffer.from([20, 3, 3, 0, 1, 1]),
      Buffer.from('anything'),
      Buffer.from([22, 3, 3, 0, 0]),
    ]) {
      assert.deepEqual(peekClientHello(Buffer.concat([hello, tail])), verdict);
    }
  }
});

test('a hello in many records is read, at every record size and prefix', () => {
  for (const size of [1, 2, 3, 4, 5, 7, 100, 300]) {
    const fragmented = fragment(full, size);
    assert.deepEqual(peekClientHello(fragmented), expected, `records of ${size}`);
    for (let length = 0; length < fragmented.length; length += 3) {
      assert.equal(peekClientHello(fragmented.subarray(0, length)).kind, 'need-more');
    }
  }
});

test('other protocols are no TLS from the first byte that tells', () => {
  for (const text of ['GET / HTTP/1.1\r\n', 'PRI * HTTP/2.0\r\n', 'SSH-2.0-x', '\0\0\0\x10']) {
    assert.deepEqual(peekClientHello(Buffer.from(text, 'latin1').subarray(0, 1)), { kind: 'not-tls' });
  }
  assert.equal(peekClientHello(Buffer.from([22])).kind, 'need-more');
  assert.equal(peekClientHello(Buffer.from([22, 2])).kind, 'not-tls');
  assert.equal(peekClientHello(Buffer.from([22, 3, 9])).kind, 'not-tls');
  assert.equal(peekClientHello(Buffer.from([22, 3, 1, 0, 0])).kind, 'not-tls', 'empty record');
  assert.equal(peekClientHello(Buffer.from([22, 3, 1, 0x40, 1])).kind, 'not-tls', 'record too long');
  assert.equal(peekClientHello(Buffer.from([22, 3, 1, 0, 4, 2])).kind, 'not-tls', 'a ServerHello');
});

test('an announced length beyond the limit is refused at once', () => {
  const length = maxClientHelloBytes;
  const head = Buffer.from([22, 3, 1, 0x40, 0, 1, 0, length >> 8, length & 0xff]);
  assert.equal(peekClientHello(head).kind, 'not-tls');
});

test('a hello of tiny records ends at the limit', () => {
  const endless = fragment(
    Buffer.concat([Buffer.alloc(5), Buffer.from([1, 0, 0x30, 0]), Buffer.alloc(4000)]),
    1,
  );
  assert.equal(peekClientHello(endless.subarray(0, maxClientHelloBytes - 1)).kind, 'need-more');
  assert.equal(peekClientHello(endless.subarray(0, maxClientHelloBytes)).kind, 'not-tls');
});

test('property: a verdict on a prefix is never contradicted by more bytes', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((random) => Buffer.from(random)),
    fc.tuple(fc.nat(full.length - 1), fc.integer({ min: 0, max: 255 })).map(([at, value]) => {
      const mutated = Buffer.from(full);
      mutated[at] = value;
      return mutated;
    }),
  );
  fc.assert(
    fc.property(bytes, fc.nat(600), (whole, cut) => {
      const early = peekClientHello(whole.subarray(0, cut));
      if (early.kind !== 'need-more') assert.deepEqual(peekClientHello(whole), early);
    }),
    { numRuns: 3000 },
  );
});

test('property: names come out as they were sent, whole or byte by byte', async () => {
  const label = fc.stringMatching(/^[a-z0-9]{1,20}$/);
  const cases = fc.sample(
    fc.tuple(fc.array(label, { minLength: 2, maxLength: 5 }), fc.array(label, { maxLength: 4 })),
    12,
  );
  for (const [labels, protocols] of cases) {
    const servername = labels.join('.');
    // An all-numeric name is an address to the client, which then sends no server name.
    if (/^[\d.]+$/.test(servername)) continue;
    const hello = await helloOf({
      servername,
      ...(protocols.length === 0 ? {} : { ALPNProtocols: protocols }),
    });
    assert.deepEqual(peekClientHello(hello), { kind: 'tls', sni: servername, alpn: protocols });
  }
});
