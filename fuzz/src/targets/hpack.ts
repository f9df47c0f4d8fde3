import assert from 'node:assert/strict';
import { HpackDecoder } from '@mesh/http2/hpack/decoder';
import { encodedBlock, HpackEncoder } from '@mesh/http2/hpack/encoder';
import { huffmanDecode, huffmanEncode } from '@mesh/http2/hpack/huffman';
import type { FuzzTarget } from '../target.ts';

const limits = { headerListBytes: 16_384, headerCount: 100, decodedFields: 1000 };
const tableBytes = 4096;

function encoded(huffman: boolean): Buffer {
  const encoder = new HpackEncoder({ huffman });
  const blocks: Buffer[] = [];
  for (let round = 0; round < 3; round++) {
    encoder.begin();
    encoder.field(':method', 'GET');
    encoder.field(':path', `/items/${round}`);
    encoder.field('user-agent', 'test/1.0');
    encoder.field('x-request-id', `${round}`.repeat(20));
    const length = encoder.finish();
    blocks.push(Buffer.from([length]), Buffer.from(encodedBlock().subarray(0, length)));
  }
  return Buffer.concat(blocks);
}

/** Blocks, each behind a byte with its length, for one decoder. */
export const hpack: FuzzTarget = {
  name: 'hpack',
  what: 'header blocks of one connection (RFC 7541)',
  seeds: () => [encoded(false), encoded(true), Buffer.from([2, 0x3f, 0xe1, 1, 0x82])],
  dictionary: [
    Buffer.from([0x20]),
    Buffer.from([0x3f, 0xe1, 0x1f]),
    Buffer.from([0x40, 1, 0x61, 1, 0x62]),
    Buffer.from([0xbe]),
    Buffer.from([0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f]),
    Buffer.from([0x82, 0x86, 0x84]),
  ],
  run(input) {
    const decoder = new HpackDecoder({ ...limits, tableBytes });
    for (let at = 0; at < input.length; ) {
      const length = input[at] as number;
      const fields: string[] = [];
      const status = decoder.decode(input, at + 1, Math.min(input.length, at + 1 + length), fields);
      at += 1 + length;
      const bytes = fields.reduce((sum, text) => sum + text.length, 16 * fields.length);
      assert.ok(
        bytes <= limits.headerListBytes && fields.length <= 2 * limits.headerCount,
        'a list over the limit',
      );
      assert.ok(decoder.tableBytes <= tableBytes, 'a table over its size');
      if (status === 'broken') return;
      if (status === 'ok') assertRoundTrip(fields);
    }
  },
};

function assertRoundTrip(fields: readonly string[]): void {
  const encoder = new HpackEncoder({ huffman: fields.length % 4 === 0 });
  encoder.begin();
  for (let index = 0; index < fields.length; index += 2) {
    encoder.field(fields[index] as string, fields[index + 1] as string);
  }
  const length = encoder.finish();
  const again: string[] = [];
  assert.equal(new HpackDecoder(limits).decode(encodedBlock(), 0, length, again), 'ok');
  assert.deepEqual(again, fields);
}

const text = Buffer.alloc(64_000);
const code = Buffer.alloc(64_000);

export const huffman: FuzzTarget = {
  name: 'huffman',
  what: 'Huffman text (RFC 7541 §5.2)',
  mostBytes: 1024,
  seeds: () =>
    [code.subarray(0, huffmanEncode('www.example.com', code, 0)), Buffer.from('no-cache\x00\xff')].map(copy),
  run(input) {
    const written = huffmanDecode(input, 0, input.length, text);
    if (written < 0) return;
    // The shortest code is 5 bits long. Padding is less than a byte, so that there is one code for one text.
    assert.ok(written * 5 <= input.length * 8);
    const length = huffmanEncode(text.toString('latin1', 0, written), code, 0);
    assert.ok(code.subarray(0, length).equals(input), 'a second code for the same text');
  },
};

function copy(bytes: Buffer): Buffer {
  return Buffer.from(bytes);
}
