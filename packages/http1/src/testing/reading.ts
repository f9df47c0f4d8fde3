/** Runs the pure parser over bytes and writes down what came of them, in the words of the vectors. For tests. */
import type { Headers, RequestHead } from '@mesh/http/message';
import { LimitLedger } from '@mesh/limits/limits';
import type { Http1Fault } from '../faults.ts';
import { FieldFacts } from '../field-facts.ts';
import { http1Limits } from '../limits.ts';
import { MessageReader, type MessageSink } from '../message-reader.ts';
import type { Section } from '../section.ts';
import { parseRequestHead } from '../request-head.ts';
import { parseResponseHead, responseBody } from '../response-head.ts';
import type { Vector } from '../vectors/vector.ts';

export type Reading = Pick<Vector, 'sees' | 'ends'>;

/** Whose bytes they are; for responses also what they answer. */
export type Speaker = Pick<Vector, 'role' | 'method' | 'upgrade'>;

export const client: Speaker = { role: 'request', method: '', upgrade: '' };
export const server: Speaker = { role: 'response', method: 'GET', upgrade: '' };

function fieldsText(fields: Headers): string {
  const lines: string[] = [];
  for (let index = 0; index < fields.length; index += 2) lines.push(`${fields[index]}: ${fields[index + 1]}`);
  return `{${lines.join('; ')}}`;
}

/** The start of a request's line in a vector. */
export function requestText(head: RequestHead): string {
  const scheme = head.scheme === '' ? '' : `${head.scheme}://`;
  const version = head.version === 10 ? ' HTTP/1.0' : '';
  const fields = head.headers.length > 0 ? ` ${fieldsText(head.headers)}` : '';
  const upgrade = head.upgrade === '' ? '' : ` upgrade: ${head.upgrade}`;
  return `${head.method} ${scheme}${head.authority} ${head.path}${version}${fields}${upgrade}`;
}

/** The start of a response's line in a vector. */
export function responseText(status: number, fields: Headers): string {
  return fields.length > 0 ? `${status} ${fieldsText(fields)}` : String(status);
}

/** One line of a vector. */
export function messageText(start: string, body: string, trailers: Headers | null): string {
  const bodyText = body === '' ? '' : ` ${JSON.stringify(body)}`;
  return `${start}${bodyText}${trailers === null ? '' : ` +${fieldsText(trailers)}`}`;
}

const limits = new LimitLedger(http1Limits).values;

class Recorder implements MessageSink {
  readonly sees: string[] = [];
  readonly reader: MessageReader;
  readonly #facts: FieldFacts = new FieldFacts();
  readonly #speaker: Speaker;
  /** Of the message that is being read. */
  #start: string | undefined = undefined;
  #body = '';
  #informed = 0;
  /** A request, or the final response, was complete. */
  #final = false;
  tunnel = false;

  constructor(speaker: Speaker) {
    this.#speaker = speaker;
    this.reader = new MessageReader(this, limits);
  }

  onHead(section: Section): Http1Fault | undefined {
    return this.#speaker.role === 'request' ? this.#request(section) : this.#response(section);
  }

  onBody(chunk: Buffer): void {
    this.#body += chunk.toString('latin1');
  }

  onMessageEnd(trailers: Headers | null): void {
    if (this.#start === undefined) return;
    this.sees.push(messageText(this.#start, this.#body, trailers));
    this.#final = true;
    this.#start = undefined;
    this.#body = '';
  }

  get inMessage(): boolean {
    if (this.#speaker.role === 'response' && !this.#final) return true;
    return this.#start !== undefined || this.reader.insideHead;
  }

  #request(section: Section): Http1Fault | undefined {
    const head = parseRequestHead(section, this.#facts, limits);
    if (typeof head === 'string') return head;
    const { contentLength, chunked } = this.#facts;
    this.#start = requestText(head);
    if (head.upgrade !== '' || head.method === 'CONNECT') {
      if (chunked || contentLength > 0) return 'body-not-allowed';
      this.tunnel = true;
      this.reader.hold();
      this.onMessageEnd(null);
    } else if (chunked) this.reader.beginChunked();
    else if (contentLength > 0) this.reader.beginLength(contentLength);
    else {
      this.reader.finish();
      this.onMessageEnd(null);
    }
    return undefined;
  }

  #response(section: Section): Http1Fault | undefined {
    const parsed = parseResponseHead(section, this.#facts, limits);
    if (typeof parsed === 'string') return parsed;
    const { status, headers } = parsed.head;
    const body = responseBody(parsed.head, this.#facts, this.#speaker.method);
    const { upgrade } = this.#speaker;
    if (status === 101 && body === 'tunnel' && (upgrade === '' || this.#facts.upgrade !== upgrade)) {
      return 'bad-upgrade';
    }
    if (status < 200 && body === 'none' && ++this.#informed > limits.http1_informational_count) {
      return 'too-many-informational';
    }
    this.#start = responseText(status, headers);
    if (body === 'chunked') this.reader.beginChunked();
    else if (body === 'length') this.reader.beginLength(this.#facts.contentLength);
    else if (body === 'close') this.reader.beginClose();
    else if (body === 'tunnel') {
      this.tunnel = true;
      this.reader.beginTunnel();
    } else if (body === 'none') {
      this.reader.finish();
      this.onMessageEnd(null);
      if (status < 200) {
        this.#final = false;
        this.reader.next();
      }
    } else return body;
    return undefined;
  }
}

/** Parses `pieces` as all bytes of one connection: requests one after the other, or one response with its 1xx. */
export function read(speaker: Speaker, pieces: readonly Buffer[]): Reading {
  const recorder = new Recorder(speaker);
  const { reader } = recorder;
  for (const piece of pieces) {
    let at = 0;
    while (at < piece.length && reader.fault === undefined) {
      const before = at;
      at = reader.read(piece, at);
      if (reader.done && speaker.role === 'request') reader.next();
      else if (at === before) break;
    }
  }
  if (reader.endsWithConnection) recorder.onMessageEnd(null);
  const ends = reader.fault ?? (recorder.tunnel ? 'tunnel' : recorder.inMessage ? 'waits' : 'complete');
  return { sees: recorder.sees, ends };
}

/** The bytes in pieces of one. */
export function byteByByte(bytes: Buffer): Buffer[] {
  return Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
}
