import { family, refuses, requests, takes, type Vector, waits } from './vector.ts';

const post = 'POST / HTTP/1.1\r\nHost: a\r\n';

function withLength(value: string, body = 'hello'): string {
  return `${post}Content-Length:${value}\r\n\r\n${body}`;
}

const notDecimal = [
  ...[
    ' +5',
    ' -5',
    ' -0',
    ' 05',
    ' 00',
    ' 0x5',
    ' 5x',
    ' x5',
    ' 5 5',
    ' 5,5',
    ' 5, 5',
    ' 5,6',
    ' 5,',
    ' ,5',
    ' ,',
  ],
  ...[
    ' 5;',
    ' 5;q=1',
    ' 5.0',
    ' 5.',
    ' .5',
    ' 5e0',
    ' 1e1',
    ' 1_0',
    ' 1’000',
    ' "5"',
    " '5'",
    ' (5)',
    ' five',
    ' 5h',
  ],
  ...[
    '',
    ' ',
    ' \t',
    ' 5\xa0',
    ' \xa05',
    ' \xb9',
    ' \xb25',
    ' 5%',
    ' %35',
    ' 0b101',
    ' 0o5',
    ' 5L',
    ' 5\t5',
    ' ٥',
  ],
  ...[
    ' 1000000000000000',
    ' 9223372036854775808',
    ' 18446744073709551616',
    ' 18446744073709551621',
    ' 99999999999999999999',
  ],
  ...[
    ' Infinity',
    ' NaN',
    ' null',
    ' 5\\r\\n',
    ' 0005',
    ' 4294967301x',
    ' 5 bytes',
    ' =5',
    ' :5',
    ' 5/5',
    ' 5-5',
    ' 5+0',
  ],
].map((text) => Buffer.from(text, 'utf8').toString('latin1'));

const values = requests('content-length', '9110 §8.6', {
  '5': takes(withLength(' 5'), 'POST a / {content-length: 5} "hello"'),
  '0': takes(withLength(' 0', ''), 'POST a / {content-length: 0}'),
  'without a space': takes(withLength('5'), 'POST a / {content-length: 5} "hello"'),
  'with white space around': takes(withLength(' \t5 \t'), 'POST a / {content-length: 5} "hello"'),
  'in upper case': takes(`${post}CONTENT-LENGTH: 5\r\n\r\nhello`, 'POST a / {content-length: 5} "hello"'),
  'a body of any bytes': takes(
    withLength(' 6', '\r\n\0\xff\r\n'),
    'POST a / {content-length: 6} "\\r\\n\\u0000\xff\\r\\n"',
  ),
  'a body that looks like a request': takes(
    withLength(' 19', 'GET /b HTTP/1.1\r\n\r\n'),
    'POST a / {content-length: 19} "GET /b HTTP/1.1\\r\\n\\r\\n"',
  ),
  'a body that looks like chunks': takes(
    withLength(' 5', '0\r\n\r\n'),
    'POST a / {content-length: 5} "0\\r\\n\\r\\n"',
  ),
  'body of a GET': takes(
    'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
    'GET a / {content-length: 5} "hello"',
  ),
  'body of a HEAD': takes(
    'HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
    'HEAD a / {content-length: 5} "hello"',
  ),
  'body of a DELETE': takes(
    'DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
    'DELETE a / {content-length: 5} "hello"',
  ),
  'body in 1.0': takes(
    'POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello',
    'POST  / HTTP/1.0 {content-length: 5} "hello"',
  ),
  'one byte missing': waits(withLength(' 6')),
  'no byte yet': waits(withLength(' 5', '')),
  'the longest': waits(withLength(' 999999999999999', '')),
  'length of the body only': waits(withLength(' 5', 'hell')),
  ...family(notDecimal, (value) => [
    `not ${JSON.stringify(value)}`,
    refuses('bad-content-length', withLength(value)),
  ]),
  'NUL in it': refuses('bad-field-value', withLength(' 5\0')),
  'vertical tab before it': refuses('bad-field-value', withLength(' \v5')),
  'form feed behind it': refuses('bad-field-value', withLength(' 5\f')),
  'CR behind it': refuses('bad-field-value', withLength(' 5\r')),
  'LF behind it': refuses('bare-line-feed', withLength(' 5\n')),
});

const several = requests('several content-lengths', '9112 §6.3', {
  equal: refuses('several-content-lengths', `${post}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`),
  'longer one second': refuses(
    'several-content-lengths',
    `${post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`,
  ),
  'shorter one second': refuses(
    'several-content-lengths',
    `${post}Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello`,
  ),
  'zero first': refuses(
    'several-content-lengths',
    `${post}Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello`,
  ),
  'in different case': refuses(
    'several-content-lengths',
    `${post}Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello`,
  ),
  apart: refuses(
    'several-content-lengths',
    `${post}Content-Length: 5\r\nX: 1\r\nContent-Length: 5\r\n\r\nhello`,
  ),
  'second one malformed': refuses(
    'several-content-lengths',
    `${post}Content-Length: 5\r\nContent-Length: x\r\n\r\nhello`,
  ),
  'second one empty': refuses(
    'several-content-lengths',
    `${post}Content-Length: 5\r\nContent-Length:\r\n\r\nhello`,
  ),
  'first one malformed': refuses(
    'bad-content-length',
    `${post}Content-Length: x\r\nContent-Length: 5\r\n\r\nhello`,
  ),
  three: refuses('several-content-lengths', `${post}${'Content-Length: 5\r\n'.repeat(3)}\r\nhello`),
  'second one with space before colon': refuses(
    'space-before-colon',
    `${post}Content-Length: 5\r\nContent-Length : 6\r\n\r\nhello`,
  ),
  'second one folded': refuses('obs-fold', `${post}Content-Length: 5\r\n Content-Length: 6\r\n\r\nhello`),
  'second one behind LF': refuses(
    'bare-line-feed',
    `${post}X: 1\nContent-Length: 6\r\nContent-Length: 5\r\n\r\nhello`,
  ),
  'second one behind CR': refuses(
    'bad-field-value',
    `${post}X: 1\rContent-Length: 6\r\nContent-Length: 5\r\n\r\nhello`,
  ),
  'second one with an underscore': refuses(
    'framing-lookalike',
    `${post}Content-Length: 5\r\nContent_Length: 6\r\n\r\nhello`,
  ),
  'another name is not it': takes(
    `${post}Content-Length: 5\r\nX-Content-Length: 6\r\nContentLength: 7\r\n\r\nhello`,
    'POST a / {content-length: 5; x-content-length: 6; contentlength: 7} "hello"',
  ),
  'named by connection': refuses(
    'bad-connection',
    `${post}Connection: content-length\r\nContent-Length: 5\r\n\r\nhello`,
  ),
  'named by connection in a list': refuses(
    'bad-connection',
    `${post}Connection: close, Content-Length\r\nContent-Length: 5\r\n\r\nhello`,
  ),
});

const both = requests('content-length and transfer-encoding', '9112 §6.1', {
  'length first, CL.TE': refuses(
    'length-and-chunked',
    `${post}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG`,
  ),
  'chunked first, TE.CL': refuses(
    'length-and-chunked',
    `${post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n`,
  ),
  'they agree': refuses(
    'length-and-chunked',
    `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  'length 0': refuses(
    'length-and-chunked',
    `${post}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  'in a GET': refuses(
    'length-and-chunked',
    'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ),
  'in 1.0': refuses(
    'bad-transfer-encoding',
    'POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ),
  'with connection: close': refuses(
    'length-and-chunked',
    `${post}Connection: close\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  'connection names transfer-encoding': refuses(
    'length-and-chunked',
    `${post}Connection: transfer-encoding\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  'length and identity': refuses(
    'bad-transfer-encoding',
    `${post}Content-Length: 5\r\nTransfer-Encoding: identity\r\n\r\nhello`,
  ),
  'length and empty coding': refuses(
    'bad-transfer-encoding',
    `${post}Content-Length: 5\r\nTransfer-Encoding:\r\n\r\nhello`,
  ),
  'length and unknown coding': refuses(
    'bad-transfer-encoding',
    `${post}Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n\r\nhello`,
  ),
  'length and misspelled name': takes(
    `${post}Content-Length: 5\r\nTransferEncoding: chunked\r\n\r\nhello`,
    'POST a / {content-length: 5; transferencoding: chunked} "hello"',
  ),
  'length and underscored name': refuses(
    'framing-lookalike',
    `${post}Content-Length: 5\r\nTransfer_Encoding: chunked\r\n\r\nhello`,
  ),
  'malformed length and chunked': refuses(
    'bad-content-length',
    `${post}Content-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  'chunked and malformed length': refuses(
    'bad-content-length',
    `${post}Transfer-Encoding: chunked\r\nContent-Length: -1\r\n\r\n0\r\n\r\n`,
  ),
  'two lengths and chunked': refuses(
    'several-content-lengths',
    `${post}Content-Length: 5\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  'length and two codings': refuses(
    'bad-transfer-encoding',
    `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n`,
  ),
  'length and chunked behind LF': refuses(
    'bare-line-feed',
    `${post}Content-Length: 5\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  'length and chunked with space before colon': refuses(
    'space-before-colon',
    `${post}Content-Length: 5\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
  ),
  'length and chunked folded': refuses(
    'obs-fold',
    `${post}Content-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`,
  ),
  'length and chunked in a folded field': refuses(
    'obs-fold',
    `${post}Content-Length: 5\r\nX: 1\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  'length and chunked behind a NUL': refuses(
    'bad-field-name',
    `${post}Content-Length: 5\r\n\0Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
});

export const contentLengthVectors: readonly Vector[] = [...values, ...several, ...both];
