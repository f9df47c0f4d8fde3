import { bytesThat, family, hex, refuses, requests, takes, type Vector, waits } from './vector.ts';

const head = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
const hello = 'POST a / "hello"';

function chunk(line: string): string {
  return `${head}${line}\r\nhello\r\n0\r\n\r\n`;
}

const sizes = requests('chunk size', '9112 §7.1', {
  'leading zeros': takes(chunk('00000005'), hello),
  'lower-case digits': takes(`${head}a\r\n0123456789\r\n0\r\n\r\n`, 'POST a / "0123456789"'),
  'upper-case digits': takes(`${head}A\r\n0123456789\r\n0\r\n\r\n`, 'POST a / "0123456789"'),
  'several chunks': takes(`${head}2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n`, hello),
  'chunks of one byte': takes(
    `${head}${[...'hello'].map((byte) => `1\r\n${byte}\r\n`).join('')}0\r\n\r\n`,
    hello,
  ),
  'no data': takes(`${head}0\r\n\r\n`, 'POST a /'),
  'last chunk of many zeros': takes(`${head}00000000\r\n\r\n`, 'POST a /'),
  'data that looks like chunks': takes(`${head}5\r\n0\r\n\r\n\r\n0\r\n\r\n`, 'POST a / "0\\r\\n\\r\\n"'),
  'data of any bytes': takes(`${head}4\r\n\0\xff\r\n\r\n0\r\n\r\n`, 'POST a / "\\u0000\xff\\r\\n"'),
  'data that looks like a request': takes(
    `${head}13\r\nGET /b HTTP/1.1\r\n\r\n\r\n0\r\n\r\n`,
    'POST a / "GET /b HTTP/1.1\\r\\n\\r\\n"',
  ),
  'the largest': waits(`${head}ffffffff\r\n`),
  'cut in the size': waits(`${head}1`),
  'cut before LF': waits(`${head}5\r`),
  'cut in the data': waits(`${head}5\r\nhel`),
  'cut behind the data': waits(`${head}5\r\nhello`),
  'cut in the end of the chunk': waits(`${head}5\r\nhello\r`),
  'cut before the last chunk': waits(`${head}5\r\nhello\r\n`),
  'cut in the last chunk': waits(`${head}0\r\n`),
  'cut in the last line end': waits(`${head}0\r\n\r`),
  ...family(
    [
      ...[
        '',
        '0x5',
        '0X5',
        'x5',
        '5x',
        '+5',
        '-5',
        '-0',
        '5_0',
        '_5',
        '5.0',
        '5,',
        '5 ',
        ' 5',
        '\t5',
        '5\t',
        '5 5',
      ],
      ...['5h', '#5', '$5', '%35', '(5)', '"5"', 'five', 'g', 'G', '5e+0', '0o5', '\\x05', '5\0', '\x005'],
      ...[
        '000000005',
        '100000005',
        '10000000000000005',
        'fffffffffffffffff',
        'ffffffffffffffff5',
        '5\xa0',
        '\xa05',
      ],
      ...['5\v', '5\f', '\xb9', '5=', '5:', '5/', '\xef\xbc\x95'],
    ],
    (size) => [`not ${JSON.stringify(size)}`, refuses('bad-chunk-size', chunk(size))],
  ),
  'last chunk signed': refuses('bad-chunk-size', `${head}5\r\nhello\r\n-0\r\n\r\n`),
  'last chunk with 0x': refuses('bad-chunk-size', `${head}5\r\nhello\r\n0x0\r\n\r\n`),
  'last chunk with a space': refuses('bad-chunk-size', `${head}5\r\nhello\r\n0 \r\n\r\n`),
  'empty line before the size': refuses('bad-chunk-size', `${head}\r\n5\r\nhello\r\n0\r\n\r\n`),
  'empty line behind a chunk': refuses('bad-chunk-size', `${head}5\r\nhello\r\n\r\n0\r\n\r\n`),
  'LF behind the size': refuses('bare-line-feed', `${head}5\nhello\r\n0\r\n\r\n`),
  'LF LF behind the size': refuses('bare-line-feed', `${head}5\n\nhello\r\n0\r\n\r\n`),
  'CR behind the size': refuses('bad-chunk-size', `${head}5\rhello\r\n0\r\n\r\n`),
  'CR CR LF behind the size': refuses('bad-chunk-size', `${head}5\r\r\nhello\r\n0\r\n\r\n`),
  'LF CR behind the size': refuses('bare-line-feed', `${head}5\n\rhello\r\n0\r\n\r\n`),
  'LF behind the last chunk': refuses('bare-line-feed', `${head}0\n\n`),
  'LF for the last line end': refuses('bare-line-feed', `${head}0\r\n\n`),
  'CR for the last line end': refuses('bad-field-name', `${head}0\r\n\r0\r\n\r\n`),
});

const ends = requests('end of a chunk', '9112 §7.1', {
  LF: refuses('bad-chunk-end', `${head}5\r\nhello\n0\r\n\r\n`),
  CR: refuses('bad-chunk-end', `${head}5\r\nhello\r0\r\n\r\n`),
  'LF CR': refuses('bad-chunk-end', `${head}5\r\nhello\n\r0\r\n\r\n`),
  'CR CR LF': refuses('bad-chunk-end', `${head}5\r\nhello\r\r\n0\r\n\r\n`),
  nothing: refuses('bad-chunk-end', `${head}5\r\nhello0\r\n\r\n`),
  'a space': refuses('bad-chunk-end', `${head}5\r\nhello \r\n0\r\n\r\n`),
  'any two bytes': refuses('bad-chunk-end', `${head}5\r\nhelloXX0\r\n\r\n`),
  'CR and another byte': refuses('bad-chunk-end', `${head}5\r\nhello\rX0\r\n\r\n`),
  'data longer than its size': refuses('bad-chunk-end', `${head}4\r\nhello\r\n0\r\n\r\n`),
  'data shorter than its size': refuses('bad-chunk-end', `${head}6\r\nhello\r\n0\r\n\r\n`),
  'data shorter by two': refuses('bad-chunk-end', `${head}7\r\nhello\r\n0\r\n\r\n`),
});

const quoted = bytesThat((byte) => byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d);

const extensions = requests('chunk extension', '9112 §7.1.1', {
  'a name': takes(chunk('5;a'), hello),
  'a name and a value': takes(chunk('5;a=b'), hello),
  'a quoted value': takes(chunk('5;a="b c"'), hello),
  'an empty quoted value': takes(chunk('5;a=""'), hello),
  'a quoted pair': takes(chunk('5;a="\\""'), hello),
  'a semicolon in quotes': takes(chunk('5;a=";"'), hello),
  several: takes(chunk('5;a;b=c;d="e"'), hello),
  'on the last chunk': takes(`${head}5\r\nhello\r\n0;a=b\r\n\r\n`, hello),
  'token characters': takes(chunk("5;!#$%&'*+-.^_`|~=1"), hello),
  nothing: refuses('bad-chunk-extension', chunk('5;')),
  'nothing, twice': refuses('bad-chunk-extension', chunk('5;;')),
  'nothing between': refuses('bad-chunk-extension', chunk('5;a;;b')),
  'nothing at the end': refuses('bad-chunk-extension', chunk('5;a;')),
  'no name': refuses('bad-chunk-extension', chunk('5;=b')),
  'no value': refuses('bad-chunk-extension', chunk('5;a=')),
  'a space before the name': refuses('bad-chunk-extension', chunk('5; a')),
  'a space before the semicolon': refuses('bad-chunk-size', chunk('5 ;a')),
  'a space behind': refuses('bad-chunk-extension', chunk('5;a ')),
  'a space around the equals sign': refuses('bad-chunk-extension', chunk('5;a = b')),
  'two values': refuses('bad-chunk-extension', chunk('5;a=b=c')),
  'an open quote': refuses('bad-chunk-extension', chunk('5;a="b')),
  'text behind the quote': refuses('bad-chunk-extension', chunk('5;a="b"c')),
  'a quoted name': refuses('bad-chunk-extension', chunk('5;"a"')),
  'a comma': refuses('bad-chunk-extension', chunk('5;a,b')),
  'a byte above ASCII': refuses('bad-chunk-extension', chunk('5;a\xe4')),
  'a byte above ASCII in quotes': refuses('bad-chunk-extension', chunk('5;a="\xe4"')),
  'without a size': refuses('bad-chunk-size', chunk(';a')),
  LF: refuses('bare-line-feed', chunk('5;a\nb')),
  'LF at once': refuses('bare-line-feed', `${head}5;\nhello\r\n0\r\n\r\n`),
  'LF in quotes': refuses('bare-line-feed', chunk('5;a="\n"')),
  CR: refuses('bad-chunk-size', chunk('5;a\rb')),
  'CR in quotes': refuses('bad-chunk-extension', chunk('5;a="\r"')),
  'two hex lines by LF, as some read it': refuses('bare-line-feed', `${head}2;\nxx\r\n2\r\nhe\r\n0\r\n\r\n`),
  ...family(quoted, (character) => [
    `${hex(character)} in quotes`,
    refuses('bad-chunk-extension', chunk(`5;a="${character}"`)),
  ]),
  '1 KiB': takes(chunk(`5;${'a'.repeat(1023)}`), hello),
  '1 KiB and one': refuses('long-extension', chunk(`5;${'a'.repeat(1024)}`)),
  '64 KiB': refuses('long-extension', chunk(`5;${'a'.repeat(65536)}`)),
  'never ending': refuses('long-extension', `${head}5;${'a'.repeat(2000)}`),
  '16 KiB in one body': takes(
    `${head}${`1;${'a'.repeat(1023)}\r\nx\r\n`.repeat(16)}0\r\n\r\n`,
    `POST a / "${'x'.repeat(16)}"`,
  ),
  'more than 16 KiB in one body': refuses(
    'too-many-extensions',
    `${head}${`1;${'a'.repeat(1000)}\r\nx\r\n`.repeat(17)}0\r\n\r\n`,
  ),
});

export const chunkedVectors: readonly Vector[] = [...sizes, ...ends, ...extensions];
