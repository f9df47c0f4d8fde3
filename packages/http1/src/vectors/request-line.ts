import { bytesThat, family, hex, refuses, requests, takes, type Vector, waits } from './vector.ts';

const rest = '\r\nHost: a\r\n\r\n';
const token = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/;

const registered = [
  ...['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PATCH', 'ACL', 'BASELINE-CONTROL', 'BIND'],
  ...['CHECKIN', 'CHECKOUT', 'COPY', 'LABEL', 'LINK', 'LOCK', 'MERGE', 'MKACTIVITY', 'MKCALENDAR', 'MKCOL'],
  ...['MKREDIRECTREF', 'MKWORKSPACE', 'MOVE', 'ORDERPATCH', 'PROPFIND', 'PROPPATCH', 'REBIND', 'REPORT'],
  ...['SEARCH', 'UNBIND', 'UNCHECKOUT', 'UNLINK', 'UNLOCK', 'UPDATE', 'UPDATEREDIRECTREF', 'VERSION-CONTROL'],
];

const methods = requests('method', '9110 §9.1', {
  ...family(registered, (method) => [method, takes(`${method} / HTTP/1.1${rest}`, `${method} a /`)]),
  'lower case is another method': takes(`get / HTTP/1.1${rest}`, 'get a /'),
  'every token character': takes(`!#$%&'*+-.^_\`|~09azAZ / HTTP/1.1${rest}`, "!#$%&'*+-.^_`|~09azAZ a /"),
  'one character': takes(`X / HTTP/1.1${rest}`, 'X a /'),
  '32 characters': takes(`${'M'.repeat(32)} / HTTP/1.1${rest}`, `${'M'.repeat(32)} a /`),
  '33 characters': refuses('method-too-long', `${'M'.repeat(33)} / HTTP/1.1${rest}`),
  'only a method': refuses('bad-request-line', `GET${rest}`),
  quoted: refuses('bad-request-line', `"GET" / HTTP/1.1${rest}`),
  'starts like TLS': refuses('bad-request-line', `\x16\x03\x01\x02\0\x01\r\n\r\n`),
  'starts with a byte order mark': refuses('bad-request-line', `\xef\xbb\xbfGET / HTTP/1.1${rest}`),
  'separated by a comma': refuses('bad-request-line', `GET,POST / HTTP/1.1${rest}`),
  'HTTP/2 preface': refuses('bad-version', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
});

const methodBytes = requests('method byte', '9110 §5.6.2', {
  ...family(
    bytesThat(
      (byte) => !token.test(String.fromCharCode(byte)) && !'\r\n '.includes(String.fromCharCode(byte)),
    ),
    (character) => [hex(character), refuses('bad-request-line', `G${character}T / HTTP/1.1${rest}`)],
  ),
});

const shape = requests('request line', '9112 §3', {
  'space before the method': refuses('bad-request-line', ` GET / HTTP/1.1${rest}`),
  'tab before the method': refuses('bad-request-line', `\tGET / HTTP/1.1${rest}`),
  'two spaces behind the method': refuses('bad-request-line', `GET  / HTTP/1.1${rest}`),
  'two spaces behind the target': refuses('bad-request-line', `GET /  HTTP/1.1${rest}`),
  'tab behind the method': refuses('bad-request-line', `GET\t/ HTTP/1.1${rest}`),
  'tab behind the target': refuses('bad-request-line', `GET /\tHTTP/1.1${rest}`),
  'vertical tab as separator': refuses('bad-request-line', `GET\v/ HTTP/1.1${rest}`),
  'form feed as separator': refuses('bad-request-line', `GET /\fHTTP/1.1${rest}`),
  'CR as separator': refuses('bad-request-line', `GET\r/ HTTP/1.1${rest}`),
  'no-break space as separator': refuses('bad-request-line', `GET\xa0/ HTTP/1.1${rest}`),
  'space in the target': refuses('bad-request-line', `GET /a b HTTP/1.1${rest}`),
  'second version in the target': refuses('bad-request-line', `GET / HTTP/1.1 HTTP/1.1${rest}`),
  'space behind the version': refuses('bad-request-line', `GET / HTTP/1.1 ${rest}`),
  'tab behind the version': refuses('bad-request-line', `GET / HTTP/1.1\t${rest}`),
  'no version': refuses('bad-request-line', `GET /${rest}`),
  'no version, but its space': refuses('bad-request-line', `GET / ${rest}`),
  'no target': refuses('bad-request-line', `GET HTTP/1.1${rest}`),
  'empty target': refuses('bad-path', `GET  HTTP/1.1${rest}`),
  'no method': refuses('bad-request-line', `/ HTTP/1.1${rest}`),
  'empty method': refuses('bad-request-line', ` / HTTP/1.1${rest}`),
  'a status line': refuses('bad-request-line', `HTTP/1.1 200 HTTP/0.9${rest}`),
  'nothing but spaces': refuses('bad-request-line', `   ${rest}`),
  'one empty line before': takes(`\r\nGET / HTTP/1.1${rest}`, 'GET a /'),
  'two empty lines before': refuses('bad-request-line', `\r\n\r\nGET / HTTP/1.1${rest}`),
  'a bare LF before': refuses('bare-line-feed', `\nGET / HTTP/1.1${rest}`),
  'a bare CR before': refuses('bad-request-line', `\rGET / HTTP/1.1${rest}`),
  'empty line of spaces before': refuses('bad-request-line', ` \r\nGET / HTTP/1.1${rest}`),
  'one empty line and no more': takes('\r\n'),
  nothing: takes(''),
  'cut in the method': waits('GE'),
  'cut in the target': waits('GET /a'),
  'cut in the version': waits('GET / HTTP/1.'),
  'cut before LF': waits('GET / HTTP/1.1\r'),
  'CR in the line': refuses('bad-path', `GET /\r HTTP/1.1${rest}`),
  'CR CR LF': refuses('bad-request-line', `GET / HTTP/1.1\r\r\nHost: a\r\n\r\n`),
  'LF behind the line': refuses('bare-line-feed', 'GET / HTTP/1.1\nHost: a\r\n\r\n'),
  'LF everywhere': refuses('bare-line-feed', 'GET / HTTP/1.1\nHost: a\n\n'),
  'LF in the target': refuses('bad-path', `GET /\n HTTP/1.1${rest}`),
  'LF behind the method': refuses('bare-line-feed', `GET\n/ HTTP/1.1${rest}`),
  'LF CR': refuses('bare-line-feed', 'GET / HTTP/1.1\n\rHost: a\r\n\r\n'),
  'folded target': refuses('bad-request-line', `GET /a\r\n b HTTP/1.1${rest}`),
});

const versions = requests('version', '9112 §2.3', {
  '1.0': takes(`GET / HTTP/1.0${rest}`, 'GET a / HTTP/1.0'),
  ...family(['0.9', '1.2', '1.9', '2.0', '3.0', '0.0', '9.9'], (version) => [
    version,
    refuses('bad-version', `GET / HTTP/${version}${rest}`),
  ]),
  ...family(
    [
      ...[
        'http/1.1',
        'Http/1.1',
        'HTTP/1',
        'HTTP/1.',
        'HTTP/.1',
        'HTTP/11',
        'HTTP/1.10',
        'HTTP/1.01',
        'HTTP/01.1',
      ],
      ...[
        'HTTP/1.1.1',
        'HTTP/1,1',
        'HTTP/1-1',
        'HTTP 1.1',
        'HTTP/ 1.1',
        'HTTP/1 .1',
        'HTTP/+1.1',
        'HTTP/1.+1',
      ],
      ...[
        'HTTP/-1.1',
        'HTTP/0x1.1',
        'HTTP/a.b',
        'HTTP/1.1;',
        'HTTP\\1.1',
        'HTTP1.1',
        'HTTPS/1.1',
        'HTTQ/1.1',
      ],
      ...[
        'XHTTP/1.1',
        'HTTP/1.1\0',
        'HTTP/\xb9.1',
        '"HTTP/1.1"',
        'HTTP//1.1',
        'HTTP/1..1',
        'RTSP/1.0',
        'ICE/1.0',
      ],
    ],
    (version) => [JSON.stringify(version), refuses('bad-request-line', `GET / ${version}${rest}`)],
  ),
});

export const requestLineVectors: readonly Vector[] = [...methods, ...methodBytes, ...shape, ...versions];
