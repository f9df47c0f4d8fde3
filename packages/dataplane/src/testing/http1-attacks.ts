/**
 * The attacks on HTTP/1 that are known, H1-1 to H1-14 of our survey, as what an attacker sends and how its connection must end.
 * ../http1-attacks.test.ts runs them in one process beside a victim; the long form runs them against a sidecar.
 *
 * The application behind answers a request with its path, or with the trailers as JSON where there were some; `/silent` never,
 * `/endless` without end, and `/bad/NUMBER` as bad-backends.ts says.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { http1Faults } from '@mesh/http1/faults';
import { type Http1LimitName, http1Limits } from '@mesh/http1/limits';
import { requestVectors } from '@mesh/http1/vectors/all';
import type { Vector } from '@mesh/http1/vectors/vector';
import { Attacker } from '@mesh/http2/testing/attacker';
import { frame, HEADERS, openRequest, request as http2Request } from '@mesh/http2/testing/raw-peer';
import type { Attack, AttackSite } from '@mesh/testkit/attack';
import { eventually } from '@mesh/testkit/eventually';
import { origProtoHeader } from '../l5d-headers.ts';
import { badBackends } from './bad-backends.ts';

const MiB = 1024 * 1024;

interface Talk {
  readonly socket: Socket;
  readonly answer: () => string;
  readonly gone: Promise<unknown>;
}

function talk(socket: Socket): Talk {
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
  return { socket, answer: () => answer, gone: once(socket, 'close') };
}

function refusedVectors(...subjects: string[]): Vector[] {
  return requestVectors.filter(({ subject, ends }) => subjects.includes(subject) && ends in http1Faults);
}

/** Ahead of what is bad, so that the connection is one of HTTP/1: what does not begin as such is passed on as any bytes. */
const good = 'GET /good HTTP/1.1\r\nHost: a\r\n\r\n';

/**
 * Each vector ends its connection with its status; the application sees no request but those before the fault, and never the one
 * smuggled behind it.
 */
async function allRefused(site: AttackSite, vectors: readonly Vector[], atLeast: number): Promise<void> {
  assert.ok(vectors.length >= atLeast, `${vectors.length} vectors`);
  site.mark();
  let seen = await site.requests();
  for (const vector of vectors) {
    const name = `${vector.subject}: ${vector.name}`;
    const { socket, answer, gone } = talk(await site.connect());
    socket.write(Buffer.from(good + vector.bytes, 'latin1'));
    socket.write('GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n');
    await gone;
    const { status } = http1Faults[vector.ends as keyof typeof http1Faults];
    assert.ok(answer().includes(`HTTP/1.1 ${status} `), `${name}: ${answer()}`);
    seen += 1 + vector.sees.length;
    assert.equal(await site.requests(), seen, name);
  }
  await site.holdsAtMost(8 * MiB);
}

const refuses =
  (vectors: readonly Vector[], atLeast: number): Attack['run'] =>
  (site) =>
    allRefused(site, vectors, atLeast);

const injected: readonly string[][] = [
  ...[
    'a\r\nx: y',
    'a\nx: y',
    'a\rx: y',
    'a\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n',
    'a\0b',
    '\r\n',
    '\n',
    'a\r',
  ].flatMap((value) => [
    ['x', value],
    ['cookie', value],
    ['content-type', value],
    ['user-agent', value],
  ]),
  ...[
    'x: y',
    'x:',
    ':x',
    'x y',
    'x\r\ny',
    'x\ny',
    'x\0',
    '',
    'X',
    'x\t',
    ' x',
    'x\x7f',
    '\xe4',
    'x:y\r\nz',
    'x"y',
    'x(y',
  ].map((name) => [name, 'a']),
  ['transfer-encoding', 'chunked'],
  ['transfer-encoding', 'identity'],
  ['connection', 'close'],
  ['connection', 'transfer-encoding'],
  ['keep-alive', 'timeout=5'],
  ['proxy-connection', 'close'],
  ['upgrade', 'h2c'],
  ['te', 'chunked'],
  ['content-length', '5'],
  ['content-length', '+0'],
  ['content-length', '0, 0'],
  ['content-length', '0', 'content-length', '5'],
  ['host', 'b'],
];

const pseudo = (method: string, path: string, authority: string): string[] => [
  ...[':method', method, ':scheme', 'http', ':path', path, ':authority', authority],
];

const badHeads: readonly string[][] = [
  ...[
    '/ HTTP/1.1\r\nx: y',
    '/\r\n\r\nGET /smuggled HTTP/1.1',
    '/a b',
    '/\0',
    '/\n',
    'a',
    '',
    '*',
    '/#a',
    'http://a/',
  ].map((path) => pseudo('GET', path, 'a')),
  ...['GET / HTTP/1.1\r\nx:', 'G T', 'GET\r\n', 'GET\n', '', 'GET\0', 'GET:'].map((method) =>
    pseudo(method, '/', 'a'),
  ),
  ...['a\r\nx: y', 'a b', 'u@a', 'a/b', 'a\0', 'a:', '[::1', 'a,b'].map((authority) =>
    pseudo('GET', '/', authority),
  ),
];

/** Nobody may send trailers that say how a message is read or who sent it. */
async function trailersAreDropped(site: AttackSite): Promise<void> {
  const dropped = requestVectors.filter(({ name }) => name.endsWith(' is dropped'));
  assert.ok(dropped.length > 20);
  for (const { name, bytes } of dropped) {
    const { socket, answer } = talk(await site.connect());
    socket.write(bytes);
    await eventually(name, () => answer().includes('\r\n\r\n{'), { intervalMs: 1 });
    assert.ok(answer().startsWith('HTTP/1.1 200 ') && answer().includes('{"x":"1"}'), `${name}: ${answer()}`);
    socket.destroy();
  }
}

/** The application answers 100 and waits for a body; the client sends another request instead, as a body of its length. */
async function bodyIsARequest(site: AttackSite): Promise<void> {
  const before = await site.requests();
  const { socket, answer, gone } = talk(await site.connect());
  const next = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';
  const fields = `Expect: 100-continue\r\nContent-Length: ${next.length}\r\nConnection: close`;
  socket.write(`POST /first HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n`);
  await eventually('100', () => answer().startsWith('HTTP/1.1 100 Continue\r\n\r\n'));
  socket.write(next);
  await gone;
  assert.equal((await site.requests()) - before, 1);
}

/**
 * Requests of HTTP/2 that go on as HTTP/1: what is bad in one neither becomes a second request nor harms the good one behind it.
 * @param inspect called when both were answered, with the bad one
 */
export async function downgrades(
  site: AttackSite,
  inspect: (bad: readonly string[] | string) => void = () => {},
): Promise<void> {
  const heads = [...injected.map((fields) => [...pseudo('GET', '/', 'a'), ...fields]), ...badHeads];
  assert.ok(heads.length >= 60, `${heads.length}`);
  const next = http2Request(3, [...pseudo('GET', '/good', 'a'), origProtoHeader, 'HTTP/1.1']);
  const attempt = async (what: string, ...bad: Buffer[]): Promise<void> => {
    const before = await site.requests();
    const attacker = await Attacker.over(await site.connect());
    await attacker.send(Buffer.concat([...bad, next]));
    await eventually(
      what,
      () => attacker.gone || attacker.frames.some(({ type, streamId }) => type === HEADERS && streamId === 3),
      { intervalMs: 1 },
    );
    attacker.destroy();
    assert.ok(attacker.frames.length > 0);
    assert.ok((await site.requests()) - before <= 2, what);
  };
  for (const head of heads) {
    await attempt(JSON.stringify(head), http2Request(1, [...head, origProtoHeader, 'HTTP/1.1']));
    inspect(head);
  }
  // A body that does not keep to its length: not a byte beyond it goes on.
  for (const [length, body, beyond] of [
    ['5', 'hello world', ' world'],
    ['5', 'hi', ''],
    ['0', 'surplus', 'surplus'],
  ] as const) {
    const head = [...pseudo('POST', '/', 'a'), 'content-length', length, origProtoHeader, 'HTTP/1.1'];
    await attempt(`${body} of ${length}`, openRequest(1, head), frame(0, 1, 1, body));
    inspect(beyond);
  }
}

/** Heads that do not end, by strangers, and bodies that do not move, by peers. */
export async function slowSenders(site: AttackSite): Promise<void> {
  const count = 150 * site.scale;
  site.mark();
  const heads: Talk[] = [];
  const bodies: Talk[] = [];
  for (let index = 0; index < count; index++) {
    const head = talk(await site.connectPlain());
    head.socket.write(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(index % 1000)}`);
    heads.push(head);
    if (index % site.scale !== 0) continue;
    const body = talk(await site.connect());
    body.socket.write('POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx');
    bodies.push(body);
  }
  await site.holdsAtMost((heads.length + bodies.length) * 64 * 1024);
  // One more byte now and then does not help them.
  for (let second = 0; second < 10; second++) {
    await site.pass(1000);
    for (const { socket } of heads) socket.write('y');
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(heads.map(({ gone }) => gone));
  assert.ok(heads.every(({ answer }) => answer().startsWith('HTTP/1.1 408 ')));
  assert.equal(await site.hits('http1_head_ms'), heads.length);
  if (site.longestPassMs < http1Limits.http1_stall_ms.default) return;
  await site.pass(http1Limits.http1_stall_ms.default);
  await Promise.all(bodies.map(({ gone }) => gone));
  assert.equal(await site.hits('http1_stall_ms'), bodies.length);
}

/** @param stopped waits until the application has been stopped */
export async function slowReader(
  site: AttackSite,
  stopped: () => Promise<void> = async () => {},
): Promise<void> {
  site.mark();
  const { socket, gone } = talk(await site.connect());
  socket.pause();
  socket.write('GET /endless HTTP/1.1\r\nHost: a\r\n\r\n');
  await stopped();
  await site.holdsAtMost(4 * MiB);
  if (site.longestPassMs < http1Limits.http1_stall_ms.default) {
    await site.pass(1000);
    return;
  }
  await site.pass(http1Limits.http1_stall_ms.default);
  socket.resume();
  await gone;
  assert.equal(await site.hits('http1_stall_ms'), 1);
}

/** Each bad answer once: whoever asked gets what is meant for him or an error, and nothing that is not his. */
export async function badApplication(site: AttackSite): Promise<void> {
  const scripts = Object.entries(badBackends);
  assert.ok(scripts.length >= 24);
  for (const [index, [name, { client }]] of scripts.entries()) {
    const { socket, answer, gone } = talk(await site.connect());
    const closed = gone.then(() => true);
    socket.write(`POST /bad/${index} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`);
    if (client === undefined) await closed;
    else await eventually(name, () => answer().includes(`HTTP/1.1 ${client} `), { intervalMs: 1 });
    const cut = client === undefined && answer().endsWith('0\r\n\r\n');
    assert.ok(!cut, `${name} looks complete: ${answer()}`);
    assert.ok(!answer().includes('poison'), `${name}: ${answer()}`);
    socket.destroy();
  }
}

async function longHeads(site: AttackSite): Promise<void> {
  const cases: [limit: Http1LimitName, status: number, bytes: string][] = [
    ['http1_method_bytes', 501, `${'M'.repeat(33)} / HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['http1_target_bytes', 414, `GET /${'a'.repeat(16_384)} HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['http1_header_count', 431, `GET / HTTP/1.1\r\nHost: a\r\n${'x: 1\r\n'.repeat(100)}\r\n`],
    ['http1_head_bytes', 431, `GET / HTTP/1.1\r\nHost: a\r\nx: ${'y'.repeat(65_536)}\r\n\r\n`],
  ];
  for (const [limit, status, bytes] of cases) {
    const before = await site.hits(limit);
    const { socket, answer, gone } = talk(await site.connect());
    socket.write(good + bytes);
    await gone;
    assert.ok(answer().includes(`HTTP/1.1 ${status} `), `${limit}: ${answer()}`);
    assert.equal((await site.hits(limit)) - before, 1);
  }
}

const faults = new Set(['bare-line-feed', 'obs-fold', 'space-before-colon']);
const subjects = [
  'obs-fold',
  'field name',
  'field value',
  'request line',
  'trailers',
  'pipelining',
  'chunk size',
];
const lineEnds = refusedVectors(...subjects).filter(
  ({ ends, name }) => faults.has(ends) || /\bCR\b/.test(name),
);

export const http1Attacks: readonly Attack[] = [
  {
    id: 'H1-1',
    what: 'content-length and transfer-encoding that contradict each other',
    run: refuses(refusedVectors('content-length and transfer-encoding', 'several content-lengths'), 38),
  },
  {
    id: 'H1-2',
    what: 'transfer-encoding in disguise',
    run: refuses(refusedVectors('transfer-encoding'), 90),
  },
  { id: 'H1-3', what: 'content-length in disguise', run: refuses(refusedVectors('content-length'), 60) },
  { id: 'H1-4', what: 'chunk sizes', run: refuses(refusedVectors('chunk size', 'end of a chunk'), 60) },
  {
    id: 'H1-5',
    what: 'chunk extensions are bounded',
    run: refuses(refusedVectors('chunk extension'), 50),
  },
  { id: 'H1-6', what: 'line ends, folds and white space', run: refuses(lineEnds, 40) },
  {
    id: 'H1-7',
    what: 'every byte in names, values, methods, targets and hosts',
    run: refuses(
      requestVectors.filter(({ subject }) => subject.endsWith(' byte')),
      600,
    ),
  },
  {
    id: 'H1-8',
    what: 'hosts that two could read differently',
    run: refuses(refusedVectors('host', 'host field', 'absolute-form', 'authority-form'), 100),
  },
  { id: 'H1-9', what: 'what may not come behind a body does not', run: trailersAreDropped },
  {
    id: 'H1-10',
    what: 'expectations in disguise; a body that is held back is not waited for',
    async run(site) {
      await allRefused(site, refusedVectors('expect'), 20);
      await bodyIsARequest(site);
    },
  },
  {
    id: 'H1-11',
    what: 'nothing in HTTP/2 becomes a second line or a second request in HTTP/1',
    run: (site) => downgrades(site),
  },
  {
    id: 'H1-12',
    what: 'slow heads, slow bodies and slow readers hold little, and not for long',
    async run(site) {
      await slowSenders(site);
      await slowReader(site);
    },
  },
  { id: 'H1-13', what: 'what a bad server says reaches nobody but who asked', run: badApplication },
  {
    id: 'H1-14',
    what: 'limits of heads, each with its status and its count',
    async run(site) {
      await allRefused(site, refusedVectors('number and size of fields'), 4);
      await longHeads(site);
    },
  },
];
