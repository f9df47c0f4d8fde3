import { refuses, requests, takes, type Vector, waits } from './vector.ts';

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const post = (body: string): string =>
  `POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const chunks = (text: string): string =>
  `POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
const seenPost = (body: string): string =>
  `POST a /p {content-length: ${body.length}} ${JSON.stringify(body)}`;

const pipelining = requests('pipelining', '9112 §9.3.2', {
  two: takes(get('/1') + get('/2'), 'GET a /1', 'GET a /2'),
  twenty: takes(
    Array.from({ length: 20 }, (_, index) => get(`/${index}`)).join(''),
    ...Array.from({ length: 20 }, (_, index) => `GET a /${index}`),
  ),
  'behind a length': takes(post('hello') + get('/2'), seenPost('hello'), 'GET a /2'),
  'behind chunks': takes(chunks('hello') + get('/2'), 'POST a /c "hello"', 'GET a /2'),
  'chunks behind a length': takes(
    post('ab') + chunks('cd') + post('ef'),
    seenPost('ab'),
    'POST a /c "cd"',
    seenPost('ef'),
  ),
  'different hosts': takes(`${get('/1')}GET /2 HTTP/1.1\r\nHost: b\r\n\r\n`, 'GET a /1', 'GET b /2'),
  'an empty line between': takes(`${get('/1')}\r\n${get('/2')}`, 'GET a /1', 'GET a /2'),
  'two empty lines between': refuses('bad-request-line', `${get('/1')}\r\n\r\n${get('/2')}`, 'GET a /1'),
  'an empty line behind a body': takes(`${post('ab')}\r\n${get('/2')}`, seenPost('ab'), 'GET a /2'),
  'LF between': refuses('bare-line-feed', `${get('/1')}\n${get('/2')}`, 'GET a /1'),
  'a space between': refuses('bad-request-line', `${get('/1')} ${get('/2')}`, 'GET a /1'),
  'a NUL between': refuses('bad-request-line', `${get('/1')}\0${get('/2')}`, 'GET a /1'),
  'second one cut': waits(`${get('/1')}GET /2 HT`, 'GET a /1'),
  'second one refused': refuses('no-host', `${get('/1')}GET /2 HTTP/1.1\r\n\r\n${get('/3')}`, 'GET a /1'),
  'body one byte longer than its length': refuses(
    'no-host',
    `POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nabcGET /2 HTTP/1.1\r\n\r\n`,
    seenPost('ab'),
  ),
  'body that was not announced': refuses(
    'bad-request-line',
    `POST / HTTP/1.1\r\nHost: a\r\n\r\nhello\r\n\r\n`,
    'POST a /',
  ),
  'a GET swallowed by a length': takes(
    `POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: ${get('/2').length}\r\n\r\n${get('/2')}`,
    seenPost(get('/2')),
  ),
  'length 0 and a smuggled GET are two': takes(
    `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n${get('/2')}`,
    'POST a / {content-length: 0}',
    'GET a /2',
  ),
  'a chunked body that ends early': takes(
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${get('/2')}`,
    'POST a /',
    'GET a /2',
  ),
  '1.0 kept alive': takes(
    `GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n${get('/2')}`,
    'GET  /1 HTTP/1.0',
    'GET a /2',
  ),
});

export const pipeliningVectors: readonly Vector[] = pipelining;
