import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HpackDecoder } from './decoder.ts';
import { encodedBlock, HpackEncoder } from './encoder.ts';

/** The examples of RFC 7541 appendix C: blocks of one connection in order, with the table size after each. */
interface Example {
  section: string;
  tableBytes: number;
  huffman: boolean;
  blocks: { hex: string; fields: string[]; table: number }[];
}

const wwwExample = [':authority', 'www.example.com'];
const request1 = [':method', 'GET', ':scheme', 'http', ':path', '/', ...wwwExample];
const request2 = [...request1, 'cache-control', 'no-cache'];
const request3 = [
  ':method',
  'GET',
  ':scheme',
  'https',
  ':path',
  '/index.html',
  ...wwwExample,
  'custom-key',
  'custom-value',
];
const rest = ['cache-control', 'private', 'date', 'Mon, 21 Oct 2013 20:13:21 GMT'];
const location = ['location', 'https://www.example.com'];
const response1 = [':status', '302', ...rest, ...location];
const response2 = [':status', '307', ...rest, ...location];
const response3 = [
  ':status',
  '200',
  'cache-control',
  'private',
  'date',
  'Mon, 21 Oct 2013 20:13:22 GMT',
  ...location,
  'content-encoding',
  'gzip',
  'set-cookie',
  'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
];

const examples: readonly Example[] = [
  {
    section: 'C.2.1 literal with indexing',
    tableBytes: 4096,
    huffman: false,
    blocks: [
      {
        hex: '400a637573746f6d2d6b65790d637573746f6d2d686561646572',
        fields: ['custom-key', 'custom-header'],
        table: 55,
      },
    ],
  },
  {
    section: 'C.2.2 literal without indexing',
    tableBytes: 4096,
    huffman: false,
    blocks: [{ hex: '040c2f73616d706c652f70617468', fields: [':path', '/sample/path'], table: 0 }],
  },
  {
    section: 'C.2.3 literal never indexed',
    tableBytes: 4096,
    huffman: false,
    blocks: [{ hex: '100870617373776f726406736563726574', fields: ['password', 'secret'], table: 0 }],
  },
  {
    section: 'C.2.4 indexed',
    tableBytes: 4096,
    huffman: false,
    blocks: [{ hex: '82', fields: [':method', 'GET'], table: 0 }],
  },
  {
    section: 'C.3 requests',
    tableBytes: 4096,
    huffman: false,
    blocks: [
      { hex: '828684410f7777772e6578616d706c652e636f6d', fields: request1, table: 57 },
      { hex: '828684be58086e6f2d6361636865', fields: request2, table: 110 },
      { hex: '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565', fields: request3, table: 164 },
    ],
  },
  {
    section: 'C.4 requests, Huffman',
    tableBytes: 4096,
    huffman: true,
    blocks: [
      { hex: '828684418cf1e3c2e5f23a6ba0ab90f4ff', fields: request1, table: 57 },
      { hex: '828684be5886a8eb10649cbf', fields: request2, table: 110 },
      { hex: '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf', fields: request3, table: 164 },
    ],
  },
  {
    section: 'C.5 responses',
    tableBytes: 256,
    huffman: false,
    blocks: [
      {
        hex:
          '4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54' +
          '6e1768747470733a2f2f7777772e6578616d706c652e636f6d',
        fields: response1,
        table: 222,
      },
      { hex: '4803333037c1c0bf', fields: response2, table: 222 },
      {
        hex:
          '88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f' +
          '3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076' +
          '657273696f6e3d31',
        fields: response3,
        table: 215,
      },
    ],
  },
  {
    section: 'C.6 responses, Huffman',
    tableBytes: 256,
    huffman: true,
    blocks: [
      {
        hex:
          '488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f' +
          '0b97c8e9ae82ae43d3',
        fields: response1,
        table: 222,
      },
      { hex: '4883640effc1c0bf', fields: response2, table: 222 },
      {
        hex:
          '88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335df' +
          'dfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
        fields: response3,
        table: 215,
      },
    ],
  },
];

for (const { section, tableBytes, huffman, blocks } of examples) {
  test(`RFC 7541 ${section}: decodes`, () => {
    const decoder = new HpackDecoder({
      headerListBytes: 65_536,
      headerCount: 100,
      decodedFields: 1000,
      tableBytes,
    });
    for (const { hex, fields, table } of blocks) {
      const bytes = Buffer.from(hex, 'hex');
      const out: string[] = [];
      assert.equal(decoder.decode(bytes, 0, bytes.length, out), 'ok');
      assert.deepEqual(out, fields);
      assert.equal(decoder.tableBytes, table);
    }
  });

  // Two examples show what our encoder never chooses: a literal for ':path' and 'password' without indexing.
  if (section.startsWith('C.2.2') || section.startsWith('C.2.3')) continue;
  test(`RFC 7541 ${section}: encodes`, () => {
    const encoder = new HpackEncoder({ tableBytes, huffman, eager: true });
    for (const { hex, fields, table } of blocks) {
      // set-cookie is sensitive for us and never indexed; the rest of the block is compared.
      const cookie = fields.indexOf('set-cookie');
      encoder.begin();
      for (let index = 0; index < fields.length; index += 2) {
        if (index !== cookie) encoder.field(fields[index] as string, fields[index + 1] as string);
      }
      const encoded = encodedBlock().toString('hex', 0, encoder.finish());
      if (cookie < 0) {
        assert.equal(encoded, hex);
        assert.equal(encoder.tableBytes, table);
      } else {
        assert.equal(encoded, hex.slice(0, encoded.length));
      }
    }
  });
}
