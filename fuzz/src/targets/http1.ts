import assert from 'node:assert/strict';
import { canonicalAuthority, canonicalize } from '@mesh/http/canonical';
import type { Headers, RequestHead } from '@mesh/http/message';
import type { Http1Fault } from '@mesh/http1/faults';
import { http1Faults } from '@mesh/http1/faults';
import { FieldFacts } from '@mesh/http1/field-facts';
import { requestHeadText } from '@mesh/http1/head-writer';
import { http1Limits } from '@mesh/http1/limits';
import { MessageReader, type MessageSink } from '@mesh/http1/message-reader';
import { parseRequestHead } from '@mesh/http1/request-head';
import type { Section } from '@mesh/http1/section';
import { byteByByte, client, read, server, type Speaker } from '@mesh/http1/testing/reading';
import { requestVectors, responseVectors } from '@mesh/http1/vectors/all';
import type { Vector } from '@mesh/http1/vectors/vector';
import { LimitLedger } from '@mesh/limits/limits';
import { cuts, type FuzzTarget } from '../target.ts';

const limits = new LimitLedger(http1Limits).values;

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

/** Every ninth of the short ones: enough to begin with. */
function seedsOf(vectors: readonly Vector[], strip = ''): Buffer[] {
  return vectors
    .filter(
      ({ bytes, subject }) => !subject.endsWith(' byte') && bytes.length < 400 && bytes.startsWith(strip),
    )
    .filter((_, index) => index % 9 === 0)
    .map(({ bytes }) => latin1(bytes.slice(strip.length)));
}

const words = [
  ...['\r\n', '\r\n\r\n', '\n', '\r', ' ', '\t', ':', ',', ';', '0', '0\r\n\r\n', '\0', '\xa0', '"', '='],
  ...['Host: a\r\n', 'Content-Length: 5\r\n', 'Transfer-Encoding: chunked\r\n', 'Connection: close\r\n'],
  ...[
    'Connection: upgrade\r\nUpgrade: x\r\n',
    'Expect: 100-continue\r\n',
    'GET / HTTP/1.1\r\n',
    ' HTTP/1.0\r\n',
  ],
  ...[
    'HTTP/1.1 200 OK\r\n',
    'HTTP/1.1 100 C\r\n\r\n',
    '5\r\nhello\r\n',
    'chunked',
    'http://a/',
    'CONNECT a:80',
  ],
].map(latin1);

/** However the reads are cut, the same messages are seen and the connection ends as well or as badly. */
function sameInAnyReads(speaker: Speaker, input: Buffer): void {
  const whole = read(speaker, [input]);
  for (const reads of [cuts(input), byteByByte(input)]) {
    const other = read(speaker, reads);
    assert.deepEqual(other.sees, whole.sees, 'other reads give other messages');
    const faulty = whole.ends in http1Faults;
    assert.equal(other.ends in http1Faults, faulty, 'other reads end in another way');
    if (!faulty) assert.equal(other.ends, whole.ends);
  }
}

export const http1Requests: FuzzTarget = {
  name: 'http1-requests',
  what: 'the bytes of a client, message after message, in any reads',
  seeds: () => seedsOf(requestVectors),
  dictionary: words,
  run: (input) => sameInAnyReads(client, input),
};

export const http1Responses: FuzzTarget = {
  name: 'http1-responses',
  what: 'the bytes of a server that answers a GET, in any reads',
  seeds: () => seedsOf(responseVectors),
  dictionary: words,
  run: (input) => sameInAnyReads(server, input),
};

const chunkedHead = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';

export const http1Chunks: FuzzTarget = {
  name: 'http1-chunks',
  what: 'sizes, extensions, ends and trailers behind a chunked head',
  seeds: () => seedsOf(requestVectors, chunkedHead),
  dictionary: words,
  run: (input) => sameInAnyReads(client, Buffer.concat([latin1(chunkedHead), input])),
};

/** Takes the first head and nothing else. */
class FirstHead implements MessageSink {
  head: RequestHead | undefined = undefined;
  readonly facts: FieldFacts = new FieldFacts();
  readonly reader: MessageReader = new MessageReader(this, limits);

  onHead(section: Section): Http1Fault | undefined {
    const head = parseRequestHead(section, this.facts, limits);
    if (typeof head === 'string') return head;
    this.head = head;
    this.reader.stop();
    return undefined;
  }
  onBody(): void {}
  onMessageEnd(_trailers: Headers | null): void {}
}

function headOf(bytes: Buffer): FirstHead {
  const sink = new FirstHead();
  sink.reader.read(bytes, 0);
  return sink;
}

/** What is taken can be sent on, and is the same to the next reader, with nothing of this connection in it. */
export const http1Heads: FuzzTarget = {
  name: 'http1-heads',
  what: 'a request head that is taken, written again and taken again',
  seeds: () => seedsOf(requestVectors.filter(({ sees }) => sees.length > 0)),
  dictionary: words,
  run(input) {
    const { head, facts } = headOf(input);
    if (head === undefined) return;
    const asHttp10 = head.version === 10 && head.authority === '';
    const upgrade = head.upgrade === '' ? '' : `connection: upgrade\r\nupgrade: ${head.upgrade}\r\n`;
    const text = requestHeadText(
      head,
      upgrade + (facts.chunked ? 'transfer-encoding: chunked\r\n' : ''),
      asHttp10,
    );
    assert.notEqual(text, undefined, 'taken, but cannot be sent');
    const again = headOf(latin1(text ?? ''));
    // A version is the connection's: a 1.0 request with a host goes on as 1.1.
    assert.deepEqual(again.head, { ...head, version: asHttp10 ? 10 : 11 });
    assert.equal(again.facts.contentLength, facts.contentLength);
    assert.equal(again.facts.chunked, facts.chunked);
  },
};

export const http1Fields: FuzzTarget = {
  name: 'http1-fields',
  what: 'field lines, and what they say of framing and the connection',
  seeds: () => seedsOf(requestVectors, 'POST / HTTP/1.1\r\nHost: a\r\n'),
  dictionary: words,
  run(input) {
    const { head, facts } = headOf(
      Buffer.concat([latin1('POST / HTTP/1.1\r\nHost: a\r\n'), input, latin1('\r\n\r\n')]),
    );
    if (head === undefined) return;
    assert.ok(!(facts.chunked && facts.contentLength !== -1), 'two framings');
    const names = head.headers.filter((_, index) => index % 2 === 0);
    assert.ok(names.filter((name) => name === 'content-length').length <= 1);
    for (const name of names) {
      assert.match(name, /^[!#$%&'*+\-.^_`|~0-9a-z]+$/);
      assert.ok(!['host', 'connection', 'transfer-encoding', 'upgrade', 'keep-alive'].includes(name), name);
    }
    for (const text of head.headers) assert.ok(!/[\0\r\n]/.test(text));
  },
};

export const authority: FuzzTarget = {
  name: 'authority',
  what: 'the one form of a host and its port',
  mostBytes: 300,
  seeds: () => ['a', 'A.b.:80', '[::1]:443', '127.0.0.1', 'x_y-z:65535', ''].map(latin1),
  dictionary: [':', '.', '[', ']', '%25', '::', '80', '@', '..', ':0'].map(latin1),
  run(input) {
    const canonical = canonicalAuthority(input.toString('latin1'));
    if (canonical === undefined) return;
    assert.equal(canonicalAuthority(canonical), canonical, 'the form has another form');
    assert.equal(canonical, canonical.toLowerCase());
    assert.match(canonical, /^(?:|\[[0-9a-f:.]+\]|[0-9a-z._-]+)(?::[1-9][0-9]{0,4})?$/);
  },
};

export const requestTarget: FuzzTarget = {
  name: 'request-target',
  what: 'method, authority and path of a head in their one form',
  mostBytes: 600,
  seeds: () => ['GET\na\n/', 'OPTIONS\na:1\n*', 'CONNECT\na:80\n', 'x\n\n/a?b'].map(latin1),
  dictionary: ['\n', '/', '?', '#', ' ', '%2f', 'CONNECT', 'OPTIONS', '*'].map(latin1),
  run(input) {
    const [method = '', of = '', path = ''] = input.toString('latin1').split('\n');
    const head: RequestHead = {
      method,
      scheme: '',
      authority: of,
      path,
      headers: [],
      upgrade: '',
      version: 11,
    };
    if (canonicalize(head) !== undefined) return;
    assert.equal(canonicalize({ ...head }), undefined);
    const text = requestHeadText(head, '', false);
    assert.match(text ?? '', /^[!-~]+ [!-~]+ HTTP\/1\.1\r\nhost: [!-~]*\r\n\r\n$/);
  },
};
