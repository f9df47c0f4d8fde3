import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sweptBytes } from '@mesh/testkit/retained-bytes';
import { type DecodeStatus, HpackDecoder } from './decoder.ts';
import { encodedBlock, HpackEncoder } from './encoder.ts';
import { huffmanDecode, huffmanEncode, huffmanLength } from './huffman.ts';

const wide = { headerListBytes: 65_536, headerCount: 100, decodedFields: 1000 };

function encode(encoder: HpackEncoder, fields: readonly string[]): Buffer {
  encoder.begin();
  for (let index = 0; index < fields.length; index += 2) {
    encoder.field(fields[index] as string, fields[index + 1] as string);
  }
  return Buffer.from(encodedBlock().subarray(0, encoder.finish()));
}

function decode(decoder: HpackDecoder, hex: string | Buffer): { status: DecodeStatus; fields: string[] } {
  const bytes = typeof hex === 'string' ? Buffer.from(hex, 'hex') : hex;
  const fields: string[] = [];
  return { status: decoder.decode(bytes, 0, bytes.length, fields), fields };
}

const name = fc.oneof(
  fc.constantFrom(':path', 'content-type', 'x-a', 'cookie', 'date', 'user-agent'),
  fc.stringMatching(/^[a-z0-9-]{1,40}$/),
);
const value = fc.oneof(
  fc.constantFrom('', 'gzip', 'text/html', 'a'.repeat(300)),
  fc.stringMatching(/^[\x21-\x7e\x80-\xff]{0,80}$/),
);
const headerList = fc.array(fc.tuple(name, value), { maxLength: 30 }).map((pairs) => pairs.flat());

test('whatever is encoded decodes to the same, block after block, through table resizes', () => {
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.boolean(),
      fc.array(fc.tuple(headerList, fc.option(fc.integer({ min: 0, max: 5000 }), { freq: 5 })), {
        maxLength: 12,
      }),
      (huffman, eager, blocks) => {
        const encoder = new HpackEncoder({ huffman, eager });
        const decoder = new HpackDecoder(wide);
        for (const [fields, resize] of blocks) {
          if (resize !== null) encoder.setPeerTableSize(resize);
          // Twice, so that what only earns an entry by repetition gets one.
          for (const list of [fields, fields]) {
            assert.deepEqual(decode(decoder, encode(encoder, list)), { status: 'ok', fields: list });
            assert.equal(encoder.tableBytes, decoder.tableBytes);
          }
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('no input makes the decoder throw or exceed its limits', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 5 }), (blocks) => {
      const decoder = new HpackDecoder({ headerListBytes: 2000, headerCount: 20, decodedFields: 1000 });
      for (const block of blocks) {
        const { status, fields } = decode(decoder, Buffer.from(block));
        assert.ok(fields.length <= 40);
        assert.ok(fields.join('').length <= 2000);
        assert.ok(decoder.tableBytes <= 4096);
        if (status === 'broken') return;
      }
    }),
    { numRuns: 2000 },
  );
});

test('Huffman: every text survives, and its length is known before', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const text = Buffer.from(bytes).toString('latin1');
      const target = Buffer.alloc(1000);
      const end = huffmanEncode(text, target, 0);
      assert.equal(end, huffmanLength(text));
      const decoded = Buffer.alloc(bytes.length);
      assert.equal(huffmanDecode(target, 0, end, decoded), bytes.length);
      assert.equal(decoded.toString('latin1'), text);
    }),
  );
});

test('Huffman: padding must be the start of end-of-string, and end-of-string itself must not come', () => {
  const target = Buffer.alloc(100);
  const cases: [hex: string, result: number][] = [
    ['1f', 1], // 'a' (00011) and three ones
    ['18', -1], // zeros for padding
    ['1fff', -1], // more than seven bits of padding
    ['ff', -1], // eight ones: a whole byte of padding
    ['ffffffff', -1], // end-of-string
    ['fffffffc', -1],
    ['', 0],
  ];
  for (const [hex, result] of cases) {
    const bytes = Buffer.from(hex, 'hex');
    assert.equal(huffmanDecode(bytes, 0, bytes.length, target), result, hex);
  }
  assert.equal(huffmanDecode(Buffer.from('1f', 'hex'), 0, 1, Buffer.alloc(0)), -2);
});

const broken: readonly [what: string, hex: string][] = [
  ['index 0', '80'],
  ['index behind the static table, empty dynamic table', 'be'],
  ['index far behind', 'ffffff7f'],
  ['index that does not end', 'ffffffffff'],
  ['index cut off', 'ff'],
  ['name index behind the table', '7f010161'],
  ['string longer than the block', '00056162'],
  ['string length cut off', '007f'],
  ['literal without a value', '000161'],
  ['literal without anything', '40'],
  ['table size above what we allow', '3fe21f'],
  ['table size update behind a field', '8220'],
  ['Huffman text with bad padding', '0081180161'],
];
for (const [what, hex] of broken) {
  test(`COMPRESSION_ERROR: ${what}`, () => {
    assert.equal(decode(new HpackDecoder(wide), hex).status, 'broken');
  });
}

const malformed: readonly [what: string, name: string, value: string][] = [
  ['upper case in a name', 'X-a', 'b'],
  ['space in a name', 'x a', 'b'],
  ['colon inside a name', 'x:a', 'b'],
  ['empty name', '', 'b'],
  ['colon alone', ':', 'b'],
  ['NUL in a name', 'x\0', 'b'],
  ['high byte in a name', 'x\xe4', 'b'],
  ['CR in a value', 'x', 'a\rb'],
  ['LF in a value', 'x', 'a\nb'],
  ['NUL in a value', 'x', 'a\0b'],
  ['space before a value', 'x', ' a'],
  ['space behind a value', 'x', 'a '],
  ['tab before a value', 'x', '\ta'],
];
for (const [what, name, value] of malformed) {
  test(`malformed but in step: ${what}`, () => {
    for (const eager of [false, true]) {
      const encoder = new HpackEncoder({ eager });
      const decoder = new HpackDecoder(wide);
      assert.equal(decode(decoder, encode(encoder, [name, value, 'y', 'z'])).status, 'malformed');
      assert.equal(decode(decoder, encode(encoder, ['y', 'z'])).status, 'ok');
      // The second time an eager encoder refers to the table.
      assert.equal(decode(decoder, encode(encoder, [name, value])).status, 'malformed');
    }
  });
}

test('a name may be good where its first value was bad', () => {
  const encoder = new HpackEncoder({ eager: true });
  const decoder = new HpackDecoder(wide);
  assert.equal(decode(decoder, encode(encoder, ['x', 'a\nb'])).status, 'malformed');
  assert.equal(decode(decoder, encode(encoder, ['x', 'fine'])).status, 'ok');
});

test('fields over the count or size limit are not kept, and the table stays in step', () => {
  const encoder = new HpackEncoder({ eager: true });
  const decoder = new HpackDecoder({ headerListBytes: 1000, headerCount: 5, decodedFields: 1000 });
  const six = ['a', '1', 'b', '2', 'c', '3', 'd', '4', 'e', '5', 'f', '6'];
  const many = decode(decoder, encode(encoder, six));
  assert.equal(many.status, 'too-large');
  assert.equal(many.fields.length, 10);
  assert.deepEqual(decode(decoder, encode(encoder, ['f', '6'])), { status: 'ok', fields: ['f', '6'] });
  const large = decode(decoder, encode(encoder, ['g', 'v'.repeat(1200), 'h', 'new']));
  assert.equal(large.status, 'too-large');
  assert.deepEqual(large.fields, []);
  const after = ['h', 'new'];
  assert.deepEqual(decode(decoder, encode(encoder, after)), { status: 'ok', fields: after });
});

test('a list with far too many fields is not looked at to its end', () => {
  const decoder = new HpackDecoder({ headerListBytes: 1000, headerCount: 5, decodedFields: 10 });
  const references = (count: number): string => '82'.repeat(count);
  assert.equal(decode(decoder, references(10)).status, 'too-large');
  assert.equal(decode(decoder, references(11)).status, 'endless');
});

test('an HPACK bomb (one big entry, many references) never grows beyond the limit', () => {
  const decoder = new HpackDecoder({ ...wide, decodedFields: 100_000 });
  const entry = Buffer.concat([Buffer.from([0x40, 1, 0x61, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4000, 'x')]);
  const references = Buffer.alloc(60_000, 0xbe);
  const { status, fields } = decode(decoder, Buffer.concat([entry, references]));
  assert.equal(status, 'too-large');
  assert.ok(fields.join('').length <= 65_536);
});

test('a cookie-crumb bomb is stopped by the count of fields', () => {
  const decoder = new HpackDecoder({ ...wide, decodedFields: 100_000 });
  const { status, fields } = decode(decoder, Buffer.alloc(60_000, 0xa0)); // cookie: '' from the static table
  assert.equal(status, 'too-large');
  assert.equal(fields.length, 200);
});

test('sensitive fields never enter a table', () => {
  const encoder = new HpackEncoder();
  const fields = ['authorization', 'Bearer x', 'cookie', 'a=b', 'set-cookie', 'c=d'];
  for (let round = 0; round < 4; round++) {
    const block = encode(encoder, fields);
    assert.equal((block[0] as number) & 0xf0, 0x10);
  }
  assert.equal(encoder.tableBytes, 0);
});

test('a field that repeats becomes one byte', () => {
  const encoder = new HpackEncoder();
  const fields = ['x-app', 'shop'];
  assert.equal(encode(encoder, fields)[0], 0x00);
  assert.equal(encode(encoder, fields)[0], 0x40);
  assert.equal(encode(encoder, fields).length, 1);
});

test('a table size change is announced before the next block, smallest first', () => {
  const encoder = new HpackEncoder();
  encode(encoder, ['x', 'y']);
  encoder.setPeerTableSize(0);
  encoder.setPeerTableSize(1024);
  assert.equal(encode(encoder, []).toString('hex'), '203fe107');
  assert.equal(encode(encoder, []).length, 0);
});

test('an encoder keeps neither foreign names nor the heads that values are cut from', () => {
  const encoder = new HpackEncoder();
  const before = sweptBytes();
  for (let index = 0; index < 1024; index++) {
    const head = Buffer.alloc(60_000, 'x').toString('latin1');
    const number = String(index).padStart(20, '0');
    encode(encoder, [
      `${head}${number}`.slice(0, 50_000),
      'v',
      `x-name-${index % 200}`,
      `${head}${number}`.slice(-30),
    ]);
    encode(encoder, [
      `${head}${number}`.slice(-40, -10),
      'seen twice',
      `x-name-${index % 200}`,
      `${head}${number}`.slice(-30),
    ]);
  }
  const kept = sweptBytes() - before;
  assert.ok(encoder.tableBytes > 0, 'values that came twice are in the table');
  // Of 60 MB that went by; what else the process holds moves by some hundred kilobytes.
  assert.ok(kept < 5_000_000, `${kept} bytes are kept`);
});
