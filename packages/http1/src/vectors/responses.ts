import { bytesThat, family, hex, refuses, responses, takes, type Vector, waits } from './vector.ts';

const end = '\r\ncontent-length: 0\r\n\r\n';
const ok = 'HTTP/1.1 200 OK\r\n';

const statusLine = responses('status line', '9112 §4', {
  plain: takes(`HTTP/1.1 200 OK${end}`, '200 {content-length: 0}'),
  '1.0': takes(`HTTP/1.0 200 OK${end}`, '200 {content-length: 0}'),
  'no reason': takes(`HTTP/1.1 200 ${end}`, '200 {content-length: 0}'),
  'no reason and no space': takes(`HTTP/1.1 200${end}`, '200 {content-length: 0}'),
  'another reason': takes(`HTTP/1.1 200 Not Found${end}`, '200 {content-length: 0}'),
  'a reason of spaces': takes(`HTTP/1.1 200    ${end}`, '200 {content-length: 0}'),
  'a reason with bytes above ASCII': takes(`HTTP/1.1 200 \xe4\xff${end}`, '200 {content-length: 0}'),
  'a reason with a tab': takes(`HTTP/1.1 200 a\tb${end}`, '200 {content-length: 0}'),
  ...family(['201', '226', '299', '300', '400', '418', '499', '500', '599'], (status) => [
    status,
    takes(`HTTP/1.1 ${status} x${end}`, `${status} {content-length: 0}`),
  ]),
  ...family(
    [
      ...[
        'ICY 200 OK',
        'HTTP 200 OK',
        'HTTP/1.1  200 OK',
        'HTTP/1.1\t200 OK',
        'HTTP/1.1 2OO OK',
        'HTTP/1.1 20 OK',
      ],
      ...[
        'HTTP/1.1 2000 OK',
        'HTTP/1.1 600 OK',
        'HTTP/1.1 099 OK',
        'HTTP/1.1 000 OK',
        'HTTP/1.1 999 OK',
        'HTTP/1.1 -20 OK',
      ],
      ...[
        'HTTP/1.1 +20 OK',
        'HTTP/1.1 0x2 OK',
        'HTTP/1.1 2.0 OK',
        'HTTP/1.1 OK',
        'HTTP/1.1',
        'HTTP/1.1 ',
        '200 OK',
        '',
      ],
      ...[
        'http/1.1 200 OK',
        ' HTTP/1.1 200 OK',
        'HTTP/2.0 200 OK',
        'HTTP/0.9 200 OK',
        'HTTP/1.10 200 OK',
        'HTTP/11 200 OK',
      ],
      ...[
        'HTTP/1.1 200\tOK',
        'HTTP/1.1 200OK',
        'HTTP/1.1 200\xa0OK',
        'HTTP/1.1 \xb200 OK',
        'GET / HTTP/1.1',
        '<html></html>',
      ],
    ],
    (line) => [`not ${JSON.stringify(line)}`, refuses('bad-status-line', `${line}${end}`)],
  ),
  '1.2': refuses('bad-version', `HTTP/1.2 200 OK${end}`),
  'an empty line before': refuses('bad-status-line', `\r\nHTTP/1.1 200 OK${end}`),
  'LF behind it': refuses('bad-status-line', 'HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n'),
  'CR in it': refuses('bad-status-line', `HTTP/1.1 200 O\rK${end}`),
  cut: waits('HTTP/1.1 20'),
});

const reasonBytes = responses('reason byte', '9112 §4', {
  ...family(
    bytesThat((byte) => (byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) || byte === 0x7f),
    (character) => [hex(character), refuses('bad-status-line', `HTTP/1.1 200 O${character}K${end}`)],
  ),
});

const framing = responses('response body', '9112 §6.3', {
  length: takes(`${ok}Content-Length: 2\r\n\r\nok`, '200 {content-length: 2} "ok"'),
  'length 0': takes(`${ok}Content-Length: 0\r\n\r\n`, '200 {content-length: 0}'),
  chunked: takes(`${ok}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`, '200 "ok"'),
  'chunked with trailers': takes(
    `${ok}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\n\r\n`,
    '200 "ok" +{x: 1}',
  ),
  'chunked with forbidden trailers': takes(
    `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\nSet-Cookie: a=b\r\nContent-Length: 9\r\n\r\n`,
    '200',
  ),
  'until the end of the connection': takes(`${ok}\r\nto the end`, '200 "to the end"'),
  'until the end, empty': takes(`${ok}\r\n`, '200'),
  'until the end, 1.0': takes('HTTP/1.0 200 OK\r\n\r\nok', '200 "ok"'),
  'until the end, another response in it': takes(`${ok}\r\n${ok}\r\n`, '200 "HTTP/1.1 200 OK\\r\\n\\r\\n"'),
  'length cut short': waits(`${ok}Content-Length: 3\r\n\r\nok`),
  'chunks cut short': waits(`${ok}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n`),
  'chunks without their last line end': waits(`${ok}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n`),
  '204': takes('HTTP/1.1 204 No Content\r\n\r\n', '204'),
  '204 with length 0': takes('HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n', '204'),
  '204 with a length': refuses('body-not-allowed', 'HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok'),
  '204 with chunks': refuses(
    'body-not-allowed',
    'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ),
  '205': takes('HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n', '205 {content-length: 0}'),
  '304': takes('HTTP/1.1 304 Not Modified\r\n\r\n', '304'),
  '304 with the length of what is not sent': takes(
    'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n',
    '304 {content-length: 5}',
  ),
  '304 with chunks that are not sent': takes(
    'HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n',
    '304',
  ),
  'length and chunked': refuses(
    'length-and-chunked',
    `${ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  'two lengths': refuses('several-content-lengths', `${ok}Content-Length: 2\r\nContent-Length: 2\r\n\r\nok`),
  'two different lengths': refuses(
    'several-content-lengths',
    `${ok}Content-Length: 2\r\nContent-Length: 1\r\n\r\nok`,
  ),
  ...family(
    ['2, 2', '+2', '-2', '02', '0x2', '2.0', '', ' ', '2 2', '1e1', '99999999999999999999'],
    (value) => [
      `length ${JSON.stringify(value)}`,
      refuses('bad-content-length', `${ok}Content-Length: ${value}\r\n\r\nok`),
    ],
  ),
  ...family(
    ['gzip', 'gzip, chunked', 'chunked, chunked', 'identity', 'xchunked', '', 'chunked,', '"chunked"'],
    (value) => [
      `coding ${JSON.stringify(value)}`,
      refuses('bad-transfer-encoding', `${ok}Transfer-Encoding: ${value}\r\n\r\n0\r\n\r\n`),
    ],
  ),
  'chunked twice': refuses(
    'bad-transfer-encoding',
    `${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  'chunked in 1.0': refuses(
    'bad-transfer-encoding',
    'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ),
  ...family(['x', '', '0x2', '-2', ' 2', '2 ', '+2', '000000002', '2_0'], (size) => [
    `chunk size ${JSON.stringify(size)}`,
    refuses('bad-chunk-size', `${ok}Transfer-Encoding: chunked\r\n\r\n${size}\r\nok\r\n0\r\n\r\n`),
  ]),
  'a chunk with LF': refuses('bad-chunk-end', `${ok}Transfer-Encoding: chunked\r\n\r\n2\r\nok\n0\r\n\r\n`),
  'LF behind a chunk size': refuses(
    'bare-line-feed',
    `${ok}Transfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n`,
  ),
  'a bad chunk extension': refuses(
    'bad-chunk-extension',
    `${ok}Transfer-Encoding: chunked\r\n\r\n2;\r\nok\r\n0\r\n\r\n`,
  ),
  'an underscored length': refuses(
    'framing-lookalike',
    `${ok}Content_Length: 2\r\nContent-Length: 2\r\n\r\nok`,
  ),
});

const fields = responses('response fields', '9112 §5', {
  'connection-named fields are removed': takes(
    `${ok}Connection: close, x-a\r\nX-A: 1\r\nX-B: 2\r\nContent-Length: 0\r\n\r\n`,
    '200 {x-b: 2; content-length: 0}',
  ),
  'hop-by-hop fields are removed': takes(
    `${ok}Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n`,
    '200 {content-length: 0}',
  ),
  'set-cookie stays apart': takes(
    `${ok}Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n`,
    '200 {set-cookie: a=1; set-cookie: b=2; content-length: 0}',
  ),
  'connection names content-length': refuses(
    'bad-connection',
    `${ok}Connection: content-length\r\nContent-Length: 0\r\n\r\n`,
  ),
  'obs-fold': refuses('obs-fold', `${ok}X: 1\r\n 2\r\nContent-Length: 0\r\n\r\n`),
  'space before colon': refuses('space-before-colon', `${ok}X : 1\r\nContent-Length: 0\r\n\r\n`),
  'no colon': refuses('bad-field-name', `${ok}X\r\nContent-Length: 0\r\n\r\n`),
  LF: refuses('bare-line-feed', `${ok}X: 1\nContent-Length: 0\r\n\r\n`),
  CR: refuses('bad-field-value', `${ok}X: 1\rY: 2\r\nContent-Length: 0\r\n\r\n`),
  NUL: refuses('bad-field-value', `${ok}X: \0\r\nContent-Length: 0\r\n\r\n`),
  'too many': refuses('too-many-fields', `${ok}${'x: 1\r\n'.repeat(101)}\r\n`),
  'too large': refuses('head-too-large', `${ok}x: ${'y'.repeat(65536)}\r\n\r\n`),
});

const interim = responses('informational responses', '9110 §15.2', {
  '100': takes(
    `HTTP/1.1 100 Continue\r\n\r\n${ok}Content-Length: 0\r\n\r\n`,
    '100',
    '200 {content-length: 0}',
  ),
  '103 with fields': takes(
    `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok}Content-Length: 0\r\n\r\n`,
    '103 {link: </a>}',
    '200 {content-length: 0}',
  ),
  '102 and 100': takes(
    `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n${ok}Content-Length: 0\r\n\r\n`,
    '102',
    '100',
    '200 {content-length: 0}',
  ),
  '199': takes(`HTTP/1.1 199 x\r\n\r\n${ok}Content-Length: 0\r\n\r\n`, '199', '200 {content-length: 0}'),
  'with length 0': takes(
    `HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n${ok}Content-Length: 0\r\n\r\n`,
    '100',
    '200 {content-length: 0}',
  ),
  '16 of them': takes(
    `${'HTTP/1.1 100 Continue\r\n\r\n'.repeat(16)}${ok}Content-Length: 0\r\n\r\n`,
    ...Array.from({ length: 16 }, () => '100'),
    '200 {content-length: 0}',
  ),
  '17 of them': refuses(
    'too-many-informational',
    `${'HTTP/1.1 100 Continue\r\n\r\n'.repeat(17)}${ok}Content-Length: 0\r\n\r\n`,
    ...Array.from({ length: 16 }, () => '100'),
  ),
  'no final one': waits('HTTP/1.1 100 Continue\r\n\r\n', '100'),
  'with a length': refuses('body-not-allowed', 'HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nok'),
  'with chunks': refuses(
    'body-not-allowed',
    'HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ),
  '101 that nobody asked for': refuses(
    'bad-upgrade',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
  ),
});

const head = responses(
  'response to HEAD',
  '9110 §9.3.2',
  {
    'with a length': takes(`${ok}Content-Length: 5\r\n\r\n`, '200 {content-length: 5}'),
    'with chunked': takes(`${ok}Transfer-Encoding: chunked\r\n\r\n`, '200'),
    'with neither': takes(`${ok}\r\n`, '200'),
    '404': takes('HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n', '404 {content-length: 5}'),
    'with both': refuses(
      'length-and-chunked',
      `${ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`,
    ),
  },
  { method: 'HEAD' },
);

const switching = responses(
  'response to an upgrade',
  '9110 §7.8',
  {
    '101': {
      ...takes(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw',
        '101 "raw"',
      ),
      ends: 'tunnel',
    },
    '101 in another case': {
      ...takes('HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n', '101'),
      ends: 'tunnel',
    },
    '101 to another protocol': refuses(
      'bad-upgrade',
      'HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n',
    ),
    '101 without the field': refuses('bad-upgrade', 'HTTP/1.1 101 x\r\n\r\n'),
    '101 with a list': refuses(
      'bad-upgrade',
      'HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket, x\r\n\r\n',
    ),
    '101 with a length': refuses(
      'body-not-allowed',
      'HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nraw',
    ),
    '101 with chunks': refuses(
      'body-not-allowed',
      'HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n',
    ),
    ignored: takes(`${ok}Content-Length: 2\r\n\r\nok`, '200 {content-length: 2} "ok"'),
    refused: takes(
      'HTTP/1.1 426 Upgrade Required\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n',
      '426 {content-length: 0}',
    ),
  },
  { upgrade: 'websocket' },
);

const connected = responses(
  'response to CONNECT',
  '9110 §9.3.6',
  {
    '200': { ...takes(`${ok}\r\nraw`, '200 "raw"'), ends: 'tunnel' },
    '299': { ...takes('HTTP/1.1 299 x\r\n\r\n', '299'), ends: 'tunnel' },
    '200 with a length that means nothing': {
      ...takes(`${ok}Content-Length: 1\r\n\r\nraw`, '200 "raw"'),
      ends: 'tunnel',
    },
    '200 with chunked that means nothing': {
      ...takes(`${ok}Transfer-Encoding: chunked\r\n\r\nraw`, '200 "raw"'),
      ends: 'tunnel',
    },
    '403': takes('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno', '403 {content-length: 2} "no"'),
    '101 that nobody asked for': refuses(
      'bad-upgrade',
      'HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
    ),
  },
  { method: 'CONNECT' },
);

export const responseVectors: readonly Vector[] = [
  ...statusLine,
  ...reasonBytes,
  ...framing,
  ...fields,
  ...interim,
  ...head,
  ...switching,
  ...connected,
];
