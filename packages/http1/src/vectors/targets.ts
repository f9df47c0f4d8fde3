import { asksTunnel, bytesThat, family, hex, refuses, requests, takes, type Vector } from './vector.ts';

function asked(target: string, { method = 'GET', host = 'a' } = {}): string {
  return `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
}

const taken = [
  ...['//', '///', '/a', '/a/', '/a/b/c', '/a//b', '/./a', '/../a', '/a/..', '/a/../b', '/%2e%2e/', '/%00'],
  ...[
    '/%',
    '/%zz',
    '/%2',
    '/a%2fb',
    '/a;b=c',
    '/a:b',
    '/a@b',
    '/a,b',
    '/~a',
    '/a+b',
    '/a|b',
    '/a{b}',
    '/a^b',
  ],
  ...['/a\\b', '/"a"', "/'a'", '/<a>', '/`a`', '/[a]', '/*', '/?', '/?a', '/?a=b&c=d', '/a?b?c', '/a?/../b'],
  ...['/?http://b/', '/http://b/', '//b/', '/a?b=%23', '/.', '/..', '/$', '/!', '/(a)', '/a=b', '/?=', '/?&'],
];

const origin = requests('origin-form', '9112 §3.2.1', {
  ...family(taken, (target) => [target, takes(asked(target), `GET a ${target}`)]),
  'no slash': refuses('bad-path', asked('a')),
  'no slash, a file': refuses('bad-path', asked('index.html')),
  'query without path': refuses('bad-path', asked('?a=b')),
  'encoded slash first': refuses('bad-path', asked('%2fa')),
  'backslash first': refuses('bad-path', asked('\\a')),
  'dots first': refuses('bad-path', asked('../a')),
  fragment: refuses('bad-path', asked('/a#b')),
  'fragment alone': refuses('bad-path', asked('#b')),
  'fragment in the query': refuses('bad-path', asked('/?a#b')),
  '16 KiB': takes(asked(`/${'a'.repeat(16383)}`), `GET a /${'a'.repeat(16383)}`),
  '16 KiB and one': refuses('target-too-long', asked(`/${'a'.repeat(16384)}`)),
});

const pathBytes = requests('target byte', '3986 §3.3', {
  ...family(
    bytesThat((byte) => (byte < 0x21 || byte > 0x7e) && byte !== 0x20 && byte !== 0x0a),
    (character) => [hex(character), refuses('bad-path', asked(`/a${character}b`))],
  ),
});

const absolute = requests('absolute-form', '9112 §3.2.2', {
  plain: takes(asked('http://a/'), 'GET http://a /'),
  https: takes(asked('https://a/'), 'GET https://a /'),
  'scheme in upper case': takes(asked('HTTP://a/'), 'GET http://a /'),
  'host in upper case': takes(asked('http://A/'), 'GET http://a /'),
  'with a port': takes(asked('http://a:8080/b', { host: 'a:8080' }), 'GET http://a:8080 /b'),
  'without a path': takes(asked('http://a'), 'GET http://a /'),
  'query without a path': takes(asked('http://a?b'), 'GET http://a /?b'),
  'path and query': takes(asked('http://a/b?c=d'), 'GET http://a /b?c=d'),
  IPv6: takes(asked('http://[::1]/', { host: '[::1]' }), 'GET http://[::1] /'),
  'OPTIONS without a path': takes(asked('http://a', { method: 'OPTIONS' }), 'OPTIONS http://a *'),
  'OPTIONS with a path': takes(asked('http://a/', { method: 'OPTIONS' }), 'OPTIONS http://a /'),
  'an at sign in the path': takes(asked('http://a/@b'), 'GET http://a /@b'),
  'a URL in the query': takes(asked('http://a/?http://b/'), 'GET http://a /?http://b/'),
  'in 1.0 without host': takes('GET http://a/ HTTP/1.0\r\n\r\n', 'GET http://a / HTTP/1.0'),
  'in 1.1 without host': refuses('no-host', 'GET http://a/ HTTP/1.1\r\n\r\n'),
  'host differs': refuses('host-mismatch', asked('http://b/')),
  'port differs': refuses('host-mismatch', asked('http://a:80/')),
  'host is a suffix': refuses('host-mismatch', asked('http://x.a/')),
  'host is empty': refuses('host-mismatch', asked('http://a/', { host: '' })),
  'trailing dot on one side': takes(asked('http://a./'), 'GET http://a /'),
  'no host in the target': refuses('bad-authority', asked('http:///a')),
  'only a port': refuses('host-mismatch', asked('http://:80/')),
  user: refuses('bad-authority', asked('http://u@a/', { host: 'u@a' })),
  'user that looks like the host': refuses('host-mismatch', asked('http://a@b/')),
  'user and password': refuses('host-mismatch', asked('http://a:b@c/')),
  'backslash behind the host': refuses('host-mismatch', asked('http://a\\b/')),
  fragment: refuses('bad-path', asked('http://a/#b')),
  'fragment at once': refuses('bad-path', asked('http://a#b')),
  'zone id': refuses('bad-authority', asked('http://[fe80::1%25eth0]/', { host: '[fe80::1%25eth0]' })),
  'one slash': refuses('bad-path', asked('http:/a')),
  'no slashes': refuses('bad-path', asked('http:a')),
  'three slashes': refuses('bad-authority', asked('http:////a/')),
  backslashes: refuses('bad-path', asked('http:\\\\a\\')),
  'no scheme': refuses('bad-path', asked('a.b/c')),
  'empty scheme': refuses('bad-path', asked('://a/')),
  ...family(
    ['ftp', 'ws', 'wss', 'file', 'gopher', 'urn', 'data', 'httpx', 'xhttp', 'https+a', 'h2c'],
    (scheme) => [`scheme ${scheme}`, refuses('bad-path', asked(`${scheme}://a/`))],
  ),
});

const connect = requests('authority-form', '9112 §3.2.3', {
  plain: asksTunnel(asked('a:80', { method: 'CONNECT', host: 'a:80' }), 'CONNECT a:80 '),
  'upper case': asksTunnel(asked('A:80', { method: 'CONNECT', host: 'a:80' }), 'CONNECT a:80 '),
  IPv6: asksTunnel(asked('[::1]:443', { method: 'CONNECT', host: '[::1]:443' }), 'CONNECT [::1]:443 '),
  'in 1.0': asksTunnel('CONNECT a:80 HTTP/1.0\r\n\r\n', 'CONNECT a:80  HTTP/1.0'),
  'with length 0': asksTunnel(
    'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 0\r\n\r\n',
    'CONNECT a:80  {content-length: 0}',
  ),
  'bytes behind it are no request': asksTunnel(
    `${asked('a:80', { method: 'CONNECT', host: 'a:80' })}${asked('/')}`,
    'CONNECT a:80 ',
  ),
  'with a body': refuses(
    'body-not-allowed',
    'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 1\r\n\r\nx',
  ),
  'with chunks': refuses(
    'body-not-allowed',
    'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ),
  'without port': refuses('bad-authority', asked('a', { method: 'CONNECT' })),
  'port 0': refuses('bad-authority', asked('a:0', { method: 'CONNECT', host: 'a:0' })),
  'empty port': refuses('bad-authority', asked('a:', { method: 'CONNECT', host: 'a:' })),
  'only a port': refuses('bad-authority', asked(':80', { method: 'CONNECT', host: ':80' })),
  'host differs': refuses('host-mismatch', asked('b:80', { method: 'CONNECT', host: 'a:80' })),
  'host without port': refuses('host-mismatch', asked('a:80', { method: 'CONNECT' })),
  'origin-form': refuses('host-mismatch', asked('/', { method: 'CONNECT' })),
  'absolute-form': refuses('host-mismatch', asked('http://a:80/', { method: 'CONNECT', host: 'a:80' })),
  star: refuses('host-mismatch', asked('*', { method: 'CONNECT' })),
  user: refuses('bad-authority', asked('u@a:80', { method: 'CONNECT', host: 'u@a:80' })),
  'with a path': refuses('host-mismatch', asked('a:80/', { method: 'CONNECT', host: 'a:80' })),
  'authority-form for GET': refuses('bad-path', asked('a:80', { host: 'a:80' })),
});

const star = requests('asterisk-form', '9112 §3.2.4', {
  OPTIONS: takes(asked('*', { method: 'OPTIONS' }), 'OPTIONS a *'),
  'OPTIONS in 1.0': takes('OPTIONS * HTTP/1.0\r\n\r\n', 'OPTIONS  * HTTP/1.0'),
  ...family(['GET', 'HEAD', 'POST', 'PUT', 'TRACE', 'options'], (method) => [
    method,
    refuses('bad-path', asked('*', { method })),
  ]),
  'with a query': refuses('bad-path', asked('*?a', { method: 'OPTIONS' })),
  'two stars': refuses('bad-path', asked('**', { method: 'OPTIONS' })),
});

export const targetVectors: readonly Vector[] = [...origin, ...pathBytes, ...absolute, ...connect, ...star];
