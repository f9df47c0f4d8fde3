import { family, refuses, requests, takes, type Vector, waits } from './vector.ts';

const head = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n';

const dropped = [
  ...['Content-Length: 3', 'Transfer-Encoding: chunked', 'Host: b', 'Authorization: x', 'Content-Type: a/b'],
  ...[
    'Content-Encoding: gzip',
    'Content-Range: bytes 0-1/2',
    'Connection: close',
    'Keep-Alive: 1',
    'Upgrade: x',
  ],
  ...[
    'Proxy-Connection: close',
    'TE: trailers',
    'Trailer: x',
    'Cookie: a=b',
    'Set-Cookie: a=b',
    'Expect: 100-continue',
  ],
  ...[
    'Cache-Control: no-store',
    'Max-Forwards: 0',
    'Range: bytes=0-',
    'Pragma: no-cache',
    'Proxy-Authorization: x',
  ],
  ...[
    'Proxy-Authenticate: x',
    'WWW-Authenticate: x',
    'Expires: 0',
    'HTTP2-Settings: AA',
    'L5d-Client-Id: x',
    'L5D-X: y',
  ],
];

const trailers = requests('trailers', '9110 §6.5.1', {
  one: takes(`${head}X: 1\r\n\r\n`, 'POST a / "x" +{x: 1}'),
  two: takes(`${head}X: 1\r\nY: 2\r\n\r\n`, 'POST a / "x" +{x: 1; y: 2}'),
  'without data': takes(
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\n\r\n',
    'POST a / +{x: 1}',
  ),
  'an empty value': takes(`${head}X:\r\n\r\n`, 'POST a / "x" +{x: }'),
  'a status of gRPC': takes(`${head}Grpc-Status: 0\r\n\r\n`, 'POST a / "x" +{grpc-status: 0}'),
  none: takes(`${head}\r\n`, 'POST a / "x"'),
  ...family(dropped, (line) => [
    `${line.split(':')[0]} is dropped`,
    takes(`${head}${line}\r\nX: 1\r\n\r\n`, 'POST a / "x" +{x: 1}'),
  ]),
  'all of them dropped': takes(`${head}Host: b\r\nContent-Length: 1\r\n\r\n`, 'POST a / "x"'),
  'then the next request': takes(
    `${head}X: 1\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n`,
    'POST a / "x" +{x: 1}',
    'GET a /b',
  ),
  folded: refuses('obs-fold', `${head}X: 1\r\n 2\r\n\r\n`),
  'space first': refuses('obs-fold', `${head} X: 1\r\n\r\n`),
  'space before colon': refuses('space-before-colon', `${head}X : 1\r\n\r\n`),
  'no colon': refuses('bad-field-name', `${head}X\r\n\r\n`),
  'no name': refuses('bad-field-name', `${head}: 1\r\n\r\n`),
  'a request line': refuses('space-before-colon', `${head}GET / HTTP/1.1\r\nHost: a\r\n\r\n`),
  LF: refuses('bare-line-feed', `${head}X: 1\n\r\n`),
  'LF for the empty line': refuses('bare-line-feed', `${head}X: 1\r\n\n`),
  CR: refuses('bad-field-value', `${head}X: 1\rY: 2\r\n\r\n`),
  NUL: refuses('bad-field-value', `${head}X: \0\r\n\r\n`),
  'NUL in the name': refuses('bad-field-name', `${head}X\0: 1\r\n\r\n`),
  '100 fields': takes(
    `${head}${'x: 1\r\n'.repeat(100)}\r\n`,
    `POST a / "x" +{${Array.from({ length: 100 }, () => 'x: 1').join('; ')}}`,
  ),
  '101 fields': refuses('too-many-fields', `${head}${'x: 1\r\n'.repeat(101)}\r\n`),
  'more than 16 KiB': refuses('trailer-too-large', `${head}x: ${'y'.repeat(16384)}\r\n\r\n`),
  cut: waits(`${head}X: 1\r\n`),
});

export const trailerVectors: readonly Vector[] = trailers;
