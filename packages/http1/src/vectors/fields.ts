import { bytesThat, family, hex, refuses, requests, takes, type Vector, waits } from './vector.ts';

const start = 'GET / HTTP/1.1\r\nHost: a\r\n';
const token = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/;

function field(line: string): string {
  return `${start}${line}\r\n\r\n`;
}

const names = requests('field name', '9110 §5.1', {
  'lower case': takes(field('x-a: 1'), 'GET a / {x-a: 1}'),
  'upper case': takes(field('X-A: 1'), 'GET a / {x-a: 1}'),
  'mixed case': takes(field('x-A: 1'), 'GET a / {x-a: 1}'),
  'every token character': takes(field("!#$%&'*+-.^_`|~09az: 1"), "GET a / {!#$%&'*+-.^_`|~09az: 1}"),
  'a digit': takes(field('1: 1'), 'GET a / {1: 1}'),
  long: takes(field(`${'x'.repeat(1000)}: 1`), `GET a / {${'x'.repeat(1000)}: 1}`),
  'the same twice': takes(field('X: 1\r\nX: 2'), 'GET a / {x: 1; x: 2}'),
  'the same twice in different case': takes(field('X: 1\r\nx: 2'), 'GET a / {x: 1; x: 2}'),
  __proto__: takes(field('__proto__: 1'), 'GET a / {__proto__: 1}'),
  constructor: takes(field('constructor: 1'), 'GET a / {constructor: 1}'),
  underscore: takes(field('x_a: 1'), 'GET a / {x_a: 1}'),
  content_length: refuses('framing-lookalike', field('Content_Length: 5')),
  transfer_encoding: refuses('framing-lookalike', field('Transfer_Encoding: chunked')),
  empty: refuses('bad-field-name', field(': 1')),
  'pseudo header': refuses('bad-field-name', field(':path: /b')),
  'no colon': refuses('bad-field-name', field('X')),
  'no colon, with a value': refuses('space-before-colon', field('X 1')),
  'equals sign for the colon': refuses('bad-field-name', field('X=1')),
  'a request line': refuses('space-before-colon', field('GET /b HTTP/1.1')),
  quoted: refuses('bad-field-name', field('"X": 1')),
  'space before colon': refuses('space-before-colon', field('X : 1')),
  'spaces before colon': refuses('space-before-colon', field('X   : 1')),
  'tab before colon': refuses('space-before-colon', field('X\t: 1')),
  'space inside': refuses('space-before-colon', field('X Y: 1')),
  'length, space before colon': refuses('space-before-colon', field('Content-Length : 5')),
  'chunked, space before colon': refuses('space-before-colon', field('Transfer-Encoding : chunked')),
  'chunked, tab before colon': refuses('space-before-colon', field('Transfer-Encoding\t: chunked')),
  'two colons': takes(field('X:: 1'), 'GET a / {x: : 1}'),
});

const nameBytes = requests('field name byte', '9110 §5.6.2', {
  ...family(
    bytesThat(
      (byte) => !token.test(String.fromCharCode(byte)) && !' \t\n:'.includes(String.fromCharCode(byte)),
    ),
    (character) => [hex(character), refuses('bad-field-name', field(`x${character}y: 1`))],
  ),
});

const values = requests('field value', '9110 §5.5', {
  plain: takes(field('X: 1'), 'GET a / {x: 1}'),
  'no space': takes(field('X:1'), 'GET a / {x: 1}'),
  empty: takes(field('X:'), 'GET a / {x: }'),
  'only spaces': takes(field('X:   '), 'GET a / {x: }'),
  'only a tab': takes(field('X:\t'), 'GET a / {x: }'),
  'white space around': takes(field('X: \t 1 \t '), 'GET a / {x: 1}'),
  'white space inside': takes(field('X: a \t b'), 'GET a / {x: a \t b}'),
  'no-break space stays': takes(field('X: \xa01\xa0'), 'GET a / {x: \xa01\xa0}'),
  colons: takes(field('X: a:b: c'), 'GET a / {x: a:b: c}'),
  commas: takes(field('X: a, b,,c'), 'GET a / {x: a, b,,c}'),
  quotes: takes(field('X: "a\\"b'), 'GET a / {x: "a\\"b}'),
  'bytes above ASCII': takes(field('X: \x80\xa0\xff'), 'GET a / {x: \x80\xa0\xff}'),
  'a request line': takes(field('X: GET / HTTP/1.1'), 'GET a / {x: GET / HTTP/1.1}'),
  'percent-encoded CR LF': takes(field('X: a%0d%0aY: b'), 'GET a / {x: a%0d%0aY: b}'),
  'backslash n': takes(field('X: a\\r\\nY: b'), 'GET a / {x: a\\r\\nY: b}'),
  'U+560A, whose low byte is LF': takes(field('X: a\xe5\x98\x8aY: b'), 'GET a / {x: a\xe5\x98\x8aY: b}'),
  'LF inside': refuses('bare-line-feed', field('X: a\nY: b')),
  'LF at its end': refuses('bare-line-feed', `${start}X: a\n\r\n`),
  'LF for the empty line': refuses('bare-line-feed', `${start}X: a\r\n\n`),
  'LF LF': refuses('bare-line-feed', `${start}X: a\n\n`),
  'CR inside': refuses('bad-field-value', field('X: a\rY: b')),
  'CR at its end': refuses('bad-field-value', field('X: a\r')),
  'CR for the colon’s space': refuses('bad-field-value', field('X:\ra')),
  'cut in the name': waits(`${start}X`),
  'cut in the value': waits(`${start}X: a`),
  'cut before the empty line': waits(`${start}X: a\r\n`),
  'cut in the empty line': waits(`${start}X: a\r\n\r`),
});

const valueBytes = requests('field value byte', '9110 §5.5', {
  ...family(
    bytesThat((byte) => (byte < 0x20 && byte !== 0x09 && byte !== 0x0a) || byte === 0x7f),
    (character) => [hex(character), refuses('bad-field-value', field(`X: a${character}b`))],
  ),
});

const folding = requests('obs-fold', '9112 §5.2', {
  'with a space': refuses('obs-fold', field('X: 1\r\n 2')),
  'with a tab': refuses('obs-fold', field('X: 1\r\n\t2')),
  'an empty continuation': refuses('obs-fold', field('X: 1\r\n ')),
  'at once': refuses('obs-fold', field('X:\r\n 2')),
  'a field': refuses('obs-fold', field('X: 1\r\n Y: 2')),
  'before the first field': refuses('obs-fold', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n'),
  'tab before the first field': refuses('obs-fold', 'GET / HTTP/1.1\r\n\tHost: a\r\n\r\n'),
  'of Content-Length': refuses('obs-fold', field('Content-Length: 1\r\n 0')),
  'of Transfer-Encoding': refuses('obs-fold', field('Transfer-Encoding:\r\n chunked')),
  'of Connection': refuses('obs-fold', field('Connection: close,\r\n\tx')),
  'a space alone before the empty line': refuses('obs-fold', `${start} \r\n\r\n`),
  'with LF': refuses('bare-line-feed', field('X: 1\n 2')),
});

const counts = requests('number and size of fields', '9110 §5.4', {
  '100 fields': takes(
    `${start}${'x: 1\r\n'.repeat(99)}\r\n`,
    `GET a / {${Array.from({ length: 99 }, () => 'x: 1').join('; ')}}`,
  ),
  '101 fields': refuses('too-many-fields', `${start}${'x: 1\r\n'.repeat(100)}\r\n`),
  '10,000 fields': refuses('too-many-fields', `${start}${'x:\r\n'.repeat(10_000)}\r\n`),
  '64 KiB': takes(
    `${start}x: ${'y'.repeat(65536 - start.length - 7)}\r\n\r\n`,
    `GET a / {x: ${'y'.repeat(65536 - start.length - 7)}}`,
  ),
  '64 KiB and one': refuses('head-too-large', `${start}x: ${'y'.repeat(65536 - start.length - 6)}\r\n\r\n`),
  'more than 64 KiB and no end': refuses('head-too-large', `${start}x: ${'y'.repeat(65536)}`),
  'a name of 64 KiB': refuses('head-too-large', `${start}${'y'.repeat(65536)}`),
});

export const fieldVectors: readonly Vector[] = [
  ...names,
  ...nameBytes,
  ...values,
  ...valueBytes,
  ...folding,
  ...counts,
];
