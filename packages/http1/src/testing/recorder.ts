/** Runs the pure parser over bytes and writes down what it said. For tests. */
import type { Headers } from '@mesh/http/message';
import { LimitLedger } from '@mesh/limits/limits';
import type { Http1Fault } from '../faults.ts';
import { FieldFacts } from '../field-facts.ts';
import { http1Limits } from '../limits.ts';
import { MessageReader, type MessageSink } from '../message-reader.ts';
import { parseRequestHead } from '../request-head.ts';
import { parseResponseHead, responseBody } from '../response-head.ts';

export interface Recording {
  /** One line per head, per body (pieces joined) and per end. */
  readonly events: readonly string[];
  readonly fault: Http1Fault | undefined;
}

const limits = new LimitLedger(http1Limits).values;

class Recorder implements MessageSink {
  readonly events: string[] = [];
  readonly reader: MessageReader;
  readonly #facts: FieldFacts = new FieldFacts();
  readonly #role: 'request' | 'response';
  #body = '';

  constructor(role: 'request' | 'response') {
    this.#role = role;
    this.reader = new MessageReader(this, limits);
  }

  onHead(text: string): Http1Fault | undefined {
    return this.#role === 'request' ? this.#request(text) : this.#response(text);
  }

  onBody(chunk: Buffer): void {
    this.#body += chunk.toString('latin1');
  }

  onMessageEnd(trailers: Headers | null): void {
    this.settle();
    this.events.push(`end ${JSON.stringify(trailers)}`);
  }

  settle(): void {
    if (this.#body !== '') this.events.push(`body ${JSON.stringify(this.#body)}`);
    this.#body = '';
  }

  #request(text: string): Http1Fault | undefined {
    const head = parseRequestHead(text, this.#facts, limits);
    if (typeof head === 'string') return head;
    this.events.push(`head ${JSON.stringify(head)}`);
    const { contentLength, chunked } = this.#facts;
    if (chunked) this.reader.beginChunked();
    else if (contentLength > 0) this.reader.beginLength(contentLength);
    else this.reader.finish();
    return undefined;
  }

  #response(text: string): Http1Fault | undefined {
    const parsed = parseResponseHead(text, this.#facts, limits);
    if (typeof parsed === 'string') return parsed;
    const body = responseBody(parsed.head, this.#facts, 'GET');
    this.events.push(`head ${JSON.stringify(parsed.head)} ${body}`);
    if (body === 'chunked') this.reader.beginChunked();
    else if (body === 'length') this.reader.beginLength(this.#facts.contentLength);
    else if (body === 'close') this.reader.beginClose();
    else if (body === 'tunnel') this.reader.beginTunnel();
    else if (body === 'none') this.reader.finish();
    else return body;
    return undefined;
  }
}

/** Parses `pieces` as one connection's bytes, message after message. */
export function record(role: 'request' | 'response', pieces: readonly Buffer[]): Recording {
  const recorder = new Recorder(role);
  const { reader } = recorder;
  for (const piece of pieces) {
    let at = 0;
    while (at < piece.length && reader.fault === undefined) {
      at = reader.read(piece, at);
      if (reader.done) reader.next();
    }
  }
  recorder.settle();
  return { events: recorder.events, fault: reader.fault };
}

/** The bytes in pieces of one. */
export function byteByByte(bytes: Buffer): Buffer[] {
  return Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
}
