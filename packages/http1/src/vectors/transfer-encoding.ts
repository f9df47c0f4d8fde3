import { family, refuses, requests, takes, type Vector, waits } from './vector.ts';

const post = 'POST / HTTP/1.1\r\nHost: a\r\n';

function coded(value: string): string {
  return `${post}Transfer-Encoding:${value}\r\n\r\n5\r\nhello\r\n0\r\n\r\n`;
}

const others = [
  ...[
    '',
    ' ',
    ' \t',
    ' identity',
    ' gzip',
    ' compress',
    ' deflate',
    ' br',
    ' x-gzip',
    ' trailers',
    ' *',
    ' chunke',
  ],
  ...[
    ' xchunked',
    ' chunkedx',
    ' x-chunked',
    ' chunked-x',
    ' chunked_',
    ' _chunked',
    ' chun ked',
    ' ch\tunked',
  ],
  ...[' chunked,', ' ,chunked', ' , chunked', ' chunked ,', ' ,', ' chunked, chunked', ' chunked,chunked'],
  ...[
    ' chunked, identity',
    ' identity, chunked',
    ' gzip, chunked',
    ' chunked, gzip',
    ' chunked,gzip, chunked',
  ],
  ...[
    ' chunked;',
    ' chunked;q=1',
    ' chunked; q=0',
    ' chunked;a=b',
    ' chunked=1',
    ' chunked chunked',
    ' identity chunked',
  ],
  ...[
    ' "chunked"',
    " 'chunked'",
    ' `chunked`',
    ' (chunked)',
    ' chunked (a)',
    ' <chunked>',
    ' [chunked]',
    ' chunked"',
  ],
  ...[
    ' chunked.',
    ' chunked:',
    ' : chunked',
    ' :chunked',
    ' chunked/1',
    ' chunked\\',
    ' \\chunked',
    ' %63hunked',
  ],
  ...[
    ' \xa0chunked',
    ' chunked\xa0',
    ' chunked\x80',
    ' \xffchunked',
    ' ch\xfcnked',
    ' c h u n k e d',
    ' 0',
    ' 5',
    ' true',
  ],
  ...[
    ' chunked\\r\\n',
    ' Content-Length',
    ' null',
    ' chunked|gzip',
    ' chunked+gzip',
    ' chunked&',
    ' \xe3\xa3\xa3hunked',
  ],
];

const codings = requests('transfer-encoding', '9112 §6.1', {
  chunked: takes(coded(' chunked'), 'POST a / "hello"'),
  'in upper case': takes(coded(' CHUNKED'), 'POST a / "hello"'),
  'in mixed case': takes(coded(' cHuNkEd'), 'POST a / "hello"'),
  'name in upper case': takes(`${post}TRANSFER-ENCODING: chunked\r\n\r\n0\r\n\r\n`, 'POST a /'),
  'name in lower case': takes(`${post}transfer-encoding: chunked\r\n\r\n0\r\n\r\n`, 'POST a /'),
  'without a space': takes(coded('chunked'), 'POST a / "hello"'),
  'with white space around': takes(coded(' \t chunked \t '), 'POST a / "hello"'),
  'of a GET': takes(
    'GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n',
    'GET a / "x"',
  ),
  'of a HEAD': takes(
    'HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n',
    'HEAD a / "x"',
  ),
  'and connection names it': takes(
    `${post}Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'POST a /',
  ),
  ...family(others, (value) => [
    `not ${JSON.stringify(value)}`,
    refuses('bad-transfer-encoding', coded(value)),
  ]),
  twice: refuses(
    'bad-transfer-encoding',
    `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  'twice, identity second': refuses(
    'bad-transfer-encoding',
    `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n`,
  ),
  'twice, identity first': refuses(
    'bad-transfer-encoding',
    `${post}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  'twice, gzip first': refuses(
    'bad-transfer-encoding',
    `${post}Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  'twice, second empty': refuses(
    'bad-transfer-encoding',
    `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n`,
  ),
  'twice in different case': refuses(
    'bad-transfer-encoding',
    `${post}Transfer-Encoding: chunked\r\ntransfer-encoding: x\r\n\r\n0\r\n\r\n`,
  ),
  'in 1.0': refuses(
    'bad-transfer-encoding',
    'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ),
  'in 1.0, kept alive': refuses(
    'bad-transfer-encoding',
    'POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ),
  'vertical tab before it': refuses('bad-field-value', coded(' \vchunked')),
  'vertical tab behind it': refuses('bad-field-value', coded(' chunked\v')),
  'form feed before it': refuses('bad-field-value', coded(' \fchunked')),
  'form feed behind it': refuses('bad-field-value', coded(' chunked\f')),
  'NUL behind it': refuses('bad-field-value', coded(' chunked\0')),
  'NUL inside': refuses('bad-field-value', coded(' chu\0nked')),
  'backspace inside': refuses('bad-field-value', coded(' chunkeed\x08d')),
  'DEL behind it': refuses('bad-field-value', coded(' chunked\x7f')),
  'CR before it': refuses('bad-field-value', coded(' \rchunked')),
  'CR behind it': refuses('bad-field-value', coded(' chunked\r')),
  'LF before it': refuses('bare-line-feed', coded(' \nchunked')),
  'LF behind it': refuses('bare-line-feed', coded(' chunked\n')),
  folded: refuses('obs-fold', coded('\r\n chunked')),
  'folded with a tab': refuses('obs-fold', coded('\r\n\tchunked')),
  'folded behind it': refuses('obs-fold', coded(' chunked\r\n , identity')),
  'space before colon': refuses('space-before-colon', `${post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`),
  'space before the name': refuses('obs-fold', `${post} Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
  'NUL in the name': refuses('bad-field-name', `${post}Transfer\0-Encoding: chunked\r\n\r\n0\r\n\r\n`),
  'byte above ASCII in the name': refuses(
    'bad-field-name',
    `${post}Transfer-Encodin\xe7: chunked\r\n\r\n0\r\n\r\n`,
  ),
  'equals sign for the colon': refuses(
    'bad-field-name',
    `${post}Transfer-Encoding= chunked\r\n\r\n0\r\n\r\n`,
  ),
  'underscore for the hyphen': refuses(
    'framing-lookalike',
    `${post}Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  'only TE': takes(`${post}TE: chunked\r\n\r\n`, 'POST a /'),
  'only X-Transfer-Encoding': takes(
    `${post}X-Transfer-Encoding: chunked\r\n\r\n`,
    'POST a / {x-transfer-encoding: chunked}',
  ),
  'only Content-Encoding': takes(
    `${post}Content-Encoding: chunked\r\n\r\n`,
    'POST a / {content-encoding: chunked}',
  ),
  'no chunk yet': waits(`${post}Transfer-Encoding: chunked\r\n\r\n`),
});

export const transferEncodingVectors: readonly Vector[] = codings;
