import { asksTunnel, family, refuses, requests, takes, type Vector } from './vector.ts';

const start = 'GET / HTTP/1.1\r\nHost: a\r\n';
const post = 'POST / HTTP/1.1\r\nHost: a\r\n';

const hop = requests('connection', '9110 §7.6.1', {
  close: takes(`${start}Connection: close\r\n\r\n`, 'GET a /'),
  'keep-alive': takes(`${start}Connection: keep-alive\r\n\r\n`, 'GET a /'),
  'in upper case': takes(`${start}CONNECTION: CLOSE\r\n\r\n`, 'GET a /'),
  'both options': takes(`${start}Connection: keep-alive, close\r\n\r\n`, 'GET a /'),
  empty: takes(`${start}Connection:\r\n\r\n`, 'GET a /'),
  'empty elements': takes(`${start}Connection: , close,,\r\n\r\n`, 'GET a /'),
  'two fields': takes(`${start}Connection: close\r\nConnection: x-a\r\nX-A: 1\r\n\r\n`, 'GET a /'),
  'names a field': takes(`${start}Connection: x-a\r\nX-A: 1\r\nX-B: 2\r\n\r\n`, 'GET a / {x-b: 2}'),
  'names a field in another case': takes(`${start}Connection: X-A\r\nx-a: 1\r\n\r\n`, 'GET a /'),
  'names a field before it': takes(`${start}X-A: 1\r\nConnection: x-a\r\n\r\n`, 'GET a /'),
  'names a field that comes twice': takes(`${start}Connection: x-a\r\nX-A: 1\r\nX-A: 2\r\n\r\n`, 'GET a /'),
  'names several fields': takes(
    `${start}Connection: x-a,x-b ,\tx-c\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n\r\n`,
    'GET a /',
  ),
  'names a field that is not there': takes(`${start}Connection: x-a\r\nX-B: 1\r\n\r\n`, 'GET a / {x-b: 1}'),
  'names thousands of fields': takes(
    `${start}Connection: ${Array.from({ length: 10_000 }, (_, index) => index).join()}\r\n9999: 1\r\nX: 2\r\n\r\n`,
    'GET a / {x: 2}',
  ),
  'names authorization': takes(`${start}Connection: authorization\r\nAuthorization: x\r\n\r\n`, 'GET a /'),
  'names cookie': takes(`${start}Connection: cookie\r\nCookie: a=b\r\n\r\n`, 'GET a /'),
  'names x-forwarded-for': takes(
    `${start}Connection: x-forwarded-for\r\nX-Forwarded-For: 1\r\n\r\n`,
    'GET a /',
  ),
  'names expect': takes(`${start}Connection: expect\r\nExpect: 100-continue\r\n\r\n`, 'GET a /'),
  'names host': refuses('bad-connection', `${start}Connection: host\r\n\r\n`),
  'names host in a list': refuses('bad-connection', `${start}Connection: close, Host\r\n\r\n`),
  'names content-length': refuses(
    'bad-connection',
    `${post}Connection: content-length\r\nContent-Length: 1\r\n\r\nx`,
  ),
  'no token': refuses('bad-connection', `${start}Connection: a b\r\n\r\n`),
  'no token in a list': refuses('bad-connection', `${start}Connection: close, a b\r\n\r\n`),
  quoted: refuses('bad-connection', `${start}Connection: "close"\r\n\r\n`),
  'with a parameter': refuses('bad-connection', `${start}Connection: close;a=b\r\n\r\n`),
  'no-break space behind': refuses('bad-connection', `${start}Connection: close\xa0\r\n\r\n`),
  'no-break space in a list': refuses('bad-connection', `${start}Connection: x-a, close\xa0\r\n\r\n`),
  'no-break space before, in a list': refuses('bad-connection', `${start}Connection: x-a,\xa0close\r\n\r\n`),
  'a slash': refuses('bad-connection', `${start}Connection: a/b\r\n\r\n`),
  'a control character': refuses('bad-field-value', `${start}Connection: close\x01\r\n\r\n`),
  'many commas': takes(`${start}Connection: ${','.repeat(10_000)}close\r\n\r\n`, 'GET a /'),
  'Keep-Alive': takes(`${start}Keep-Alive: timeout=5, max=100\r\n\r\n`, 'GET a /'),
  'Proxy-Connection': takes(`${start}Proxy-Connection: keep-alive\r\n\r\n`, 'GET a /'),
  'TE: trailers': takes(`${start}TE: trailers\r\nConnection: TE\r\n\r\n`, 'GET a / {te: trailers}'),
  'TE: Trailers': takes(`${start}TE: Trailers\r\nConnection: TE\r\n\r\n`, 'GET a / {te: Trailers}'),
  'TE: gzip': takes(`${start}TE: gzip\r\n\r\n`, 'GET a /'),
  'TE: trailers, gzip': takes(`${start}TE: trailers, gzip;q=0.5\r\n\r\n`, 'GET a /'),
  'TE: empty': takes(`${start}TE:\r\n\r\n`, 'GET a /'),
});

const expectations = requests('expect', '9110 §10.1.1', {
  '100-continue': takes(
    `${post}Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx`,
    'POST a / {expect: 100-continue; content-length: 1} "x"',
  ),
  'in upper case': takes(
    `${post}Expect: 100-CONTINUE\r\nContent-Length: 1\r\n\r\nx`,
    'POST a / {expect: 100-CONTINUE; content-length: 1} "x"',
  ),
  'with chunks': takes(
    `${post}Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n`,
    'POST a / {expect: 100-continue} "x"',
  ),
  'without a body': takes(`${start}Expect: 100-continue\r\n\r\n`, 'GET a / {expect: 100-continue}'),
  'in 1.0 is ignored': takes(
    'POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx',
    'POST  / HTTP/1.0 {content-length: 1} "x"',
  ),
  'another one in 1.0 is ignored': takes('GET / HTTP/1.0\r\nExpect: x\r\n\r\n', 'GET  / HTTP/1.0'),
  ...family(
    [
      ...[
        '',
        '200-ok',
        '100',
        'continue',
        '100 continue',
        '100_continue',
        '100-continu',
        '100-continuee',
        'x100-continue',
      ],
      ...[
        '100-continue,',
        ',100-continue',
        '100-continue, 100-continue',
        '100-continue, x',
        '100-continue;a=b',
        '"100-continue"',
      ],
      ...[
        '100-continue=1',
        '100-continue\xa0',
        'y 100-continue',
        '100-continue y',
        '100 - continue',
        '100--continue',
      ],
    ],
    (value) => [
      `not ${JSON.stringify(value)}`,
      refuses('bad-expectation', `${post}Expect: ${value}\r\nContent-Length: 1\r\n\r\nx`),
    ],
  ),
  twice: refuses(
    'bad-expectation',
    `${post}Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx`,
  ),
  'twice, one unknown': refuses(
    'bad-expectation',
    `${post}Expect: 100-continue\r\nExpect: x\r\nContent-Length: 1\r\n\r\nx`,
  ),
  'empty, then 100-continue': refuses(
    'bad-expectation',
    `${post}Expect:\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx`,
  ),
  folded: refuses('obs-fold', `${post}Expect:\r\n 100-continue\r\nContent-Length: 1\r\n\r\nx`),
  'vertical tab before': refuses(
    'bad-field-value',
    `${post}Expect: \v100-continue\r\nContent-Length: 1\r\n\r\nx`,
  ),
});

const next = 'GET /next HTTP/1.1\r\nHost: a\r\n\r\n';

const upgrades = requests('upgrade', '9110 §7.8', {
  websocket: asksTunnel(
    `${start}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    'GET a / upgrade: websocket',
  ),
  'in another case': asksTunnel(
    `${start}connection: UPGRADE\r\nupgrade: WebSocket\r\n\r\n`,
    'GET a / upgrade: websocket',
  ),
  'with keep-alive': asksTunnel(
    `${start}Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    'GET a / upgrade: websocket',
  ),
  'with a version': asksTunnel(
    `${start}Connection: Upgrade\r\nUpgrade: foo/2\r\n\r\n`,
    'GET a / upgrade: foo/2',
  ),
  'of a POST is ignored: an extended CONNECT stands for a GET': takes(
    `${post}Connection: Upgrade\r\nUpgrade: foo\r\n\r\n${next}`,
    'POST a /',
    'GET a /next',
  ),
  'with length 0': asksTunnel(
    `${start}Connection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 0\r\n\r\n`,
    'GET a / {content-length: 0} upgrade: foo',
  ),
  'nothing behind it is a request': asksTunnel(
    `${start}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n${next}`,
    'GET a / upgrade: websocket',
  ),
  'not named by connection': takes(`${start}Upgrade: websocket\r\n\r\n${next}`, 'GET a /', 'GET a /next'),
  'named, but not there': takes(`${start}Connection: Upgrade\r\n\r\n${next}`, 'GET a /', 'GET a /next'),
  h2c: takes(
    `${start}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n${next}`,
    'GET a /',
    'GET a /next',
  ),
  H2C: takes(`${start}Connection: Upgrade\r\nUpgrade: H2C\r\n\r\n${next}`, 'GET a /', 'GET a /next'),
  'h2c in a list': takes(
    `${start}Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n${next}`,
    'GET a /',
    'GET a /next',
  ),
  'a list': takes(`${start}Connection: Upgrade\r\nUpgrade: a, b\r\n\r\n${next}`, 'GET a /', 'GET a /next'),
  'two fields': takes(
    `${start}Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n\r\n${next}`,
    'GET a /',
    'GET a /next',
  ),
  'three fields': takes(
    `${start}Connection: Upgrade\r\nUpgrade: a\r\nUpgrade: b\r\nUpgrade: c\r\n\r\n${next}`,
    'GET a /',
    'GET a /next',
  ),
  empty: takes(`${start}Connection: Upgrade\r\nUpgrade:\r\n\r\n${next}`, 'GET a /', 'GET a /next'),
  'no token': takes(`${start}Connection: Upgrade\r\nUpgrade: a b\r\n\r\n${next}`, 'GET a /', 'GET a /next'),
  'an empty version': takes(
    `${start}Connection: Upgrade\r\nUpgrade: a/\r\n\r\n${next}`,
    'GET a /',
    'GET a /next',
  ),
  'in 1.0': takes(
    'GET / HTTP/1.0\r\nConnection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n',
    'GET  / HTTP/1.0',
  ),
  'with a body': takes(
    `${post}Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx${next}`,
    'POST a / {content-length: 1} "x"',
    'GET a /next',
  ),
  'with chunks': takes(
    `${post}Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n${next}`,
    'POST a / "x"',
    'GET a /next',
  ),
  'of a CONNECT is ignored': asksTunnel(
    'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    'CONNECT a:80 ',
  ),
});

export const connectionVectors: readonly Vector[] = [...hop, ...expectations, ...upgrades];
