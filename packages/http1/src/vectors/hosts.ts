import { bytesThat, family, hex, refuses, requests, takes, type Vector } from './vector.ts';

function withHost(host: string): string {
  return `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
}

const longLabel = 'a'.repeat(254);

const fields = requests('host field', '9112 §3.2', {
  'none in 1.1': refuses('no-host', 'GET / HTTP/1.1\r\n\r\n'),
  'none in 1.1, other fields': refuses('no-host', 'GET / HTTP/1.1\r\nX-Host: a\r\n\r\n'),
  'none in 1.0': takes('GET / HTTP/1.0\r\n\r\n', 'GET  / HTTP/1.0'),
  'two, equal': refuses('several-hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n'),
  'two, different': refuses('several-hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'),
  'two in different case': refuses('several-hosts', 'GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n'),
  'two, the first empty': refuses('several-hosts', 'GET / HTTP/1.1\r\nHost:\r\nHost: a\r\n\r\n'),
  'two, apart': refuses('several-hosts', 'GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nHost: a\r\n\r\n'),
  'two in 1.0': refuses('several-hosts', 'GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n'),
  'last of many': takes('GET / HTTP/1.1\r\nX: 1\r\nHost: a\r\n\r\n', 'GET a / {x: 1}'),
  empty: takes('GET / HTTP/1.1\r\nHost:\r\n\r\n', 'GET  /'),
  'only spaces': takes('GET / HTTP/1.1\r\nHost:   \r\n\r\n', 'GET  /'),
  'space before colon': refuses('space-before-colon', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n'),
  folded: refuses('obs-fold', 'GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n'),
  'folded into another field': refuses('obs-fold', 'GET / HTTP/1.1\r\nX: 1\r\n Host: a\r\n\r\n'),
});

const accepted: Record<string, string> = {
  'a.b': 'a.b',
  'CART.Shop': 'cart.shop',
  'a:1': 'a:1',
  'a:80': 'a:80',
  'a:65535': 'a:65535',
  'a.b.': 'a.b',
  'a.b.:80': 'a.b:80',
  a_b: 'a_b',
  'a-b': 'a-b',
  '-a': '-a',
  '1': '1',
  '127.0.0.1': '127.0.0.1',
  '127.0.0.1:80': '127.0.0.1:80',
  '[::1]': '[::1]',
  '[::1]:80': '[::1]:80',
  '[2001:DB8::1]': '[2001:db8::1]',
  '[::ffff:1.2.3.4]': '[::ffff:1.2.3.4]',
  'xn--a-ecp.ru': 'xn--a-ecp.ru',
  [longLabel]: longLabel,
};

const refused = [
  ...[
    'a b',
    'a,b',
    'a, b',
    'a/b',
    'a/',
    '/a',
    'a?b',
    'a#b',
    'u@a',
    'u:p@a',
    '@a',
    'a@',
    'a\\b',
    'http://a',
    'a;b',
  ],
  ...[
    'a:',
    'a:0',
    'a:080',
    'a:65536',
    'a:99999',
    'a:100000',
    'a:+80',
    'a:-1',
    'a:80:80',
    'a:8 0',
    'a:0x50',
    'a:http',
  ],
  ...[
    'a: 80',
    'a :80',
    'a:80a',
    ':80',
    ':',
    '.',
    '..',
    '.a',
    'a..b',
    'a..',
    '%61',
    'a%2eb',
    'a%00',
    '*',
    '*.a',
    '"a"',
  ],
  ...[
    '[',
    ']',
    '[]',
    '[a]',
    '[::1',
    '::1]',
    '::1',
    '[::1]a',
    '[::1]:',
    '[::1]:0',
    '[::1]:x',
    '[:::1]',
    '[::1]]',
  ],
  ...[
    '[fe80::1%eth0]',
    '[fe80::1%25eth0]',
    '[fe80::1%]',
    '[v1.a]',
    '[127.0.0.1]',
    '[::1] ',
    'a[::1]',
    '(a)',
    '{a}',
  ],
  ...[
    "a'b",
    'a=b',
    'a&b',
    'a+b',
    'a!b',
    'a$b',
    'a~b',
    'a|b',
    'a`b',
    'a^b',
    'a<b>',
    '\xe4',
    'a\tb',
    'a\xa0',
    `${longLabel}a`,
  ],
];

const names = requests('host', '9110 §7.2', {
  ...family(Object.entries(accepted), ([host, seen]) => [
    host.slice(0, 30),
    takes(withHost(host), `GET ${seen} /`),
  ]),
  ...family(
    refused.filter((host) => host.trim() === host),
    (host) => [`not ${JSON.stringify(host).slice(0, 30)}`, refuses('bad-authority', withHost(host))],
  ),
});

const hostBytes = requests('host byte', '3986 §3.2.2', {
  ...family(
    bytesThat((byte) => byte > 0x7e || (byte < 0x20 && byte !== 0x0a && byte !== 0x09)),
    (character) => [
      hex(character),
      refuses(
        character < ' ' || character === '\x7f' ? 'bad-field-value' : 'bad-authority',
        withHost(`a${character}b`),
      ),
    ],
  ),
});

export const hostVectors: readonly Vector[] = [...fields, ...names, ...hostBytes];
