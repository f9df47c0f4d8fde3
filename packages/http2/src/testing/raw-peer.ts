/**
 * A peer that says exactly what a test wants, right or wrong. Builds and reads frames by itself, so that a fault in
 * the codec cannot hide behind the same fault here.
 */
import { FakeClock } from '@mesh/testkit/fake-clock';
import { LimitLedger } from '@mesh/limits/limits';
import { Http2Client } from '../client.ts';
import type { ConnectionOptions } from '../channel.ts';
import { type Http2LimitName, http2Limits, type Http2Limits } from '../limits.ts';
import { Http2Server } from '../server.ts';
import type { Transport } from '../transport.ts';
import { EchoListener } from './exchange.ts';

export const DATA = 0;
export const HEADERS = 1;
export const PRIORITY = 2;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PUSH_PROMISE = 5;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;
export const CONTINUATION = 9;

export const END_STREAM = 1;
export const ACK = 1;
export const END_HEADERS = 4;
export const PADDED = 8;
export const PRIORITY_FLAG = 0x20;

export const preface: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export function frame(type: number, flags: number, streamId: number, payload: Buffer | string = ''): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload;
  const bytes = Buffer.alloc(9 + body.length);
  bytes.writeUIntBE(body.length, 0, 3);
  bytes.writeUInt8(type, 3);
  bytes.writeUInt8(flags, 4);
  bytes.writeUInt32BE(streamId, 5);
  body.copy(bytes, 9);
  return bytes;
}

/** A 32-bit payload. */
export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => bytes.writeUInt32BE(value >>> 0, index * 4));
  return bytes;
}

export function settings(...pairs: [id: number, value: number][]): Buffer {
  const bytes = Buffer.alloc(pairs.length * 6);
  pairs.forEach(([id, value], index) => {
    bytes.writeUInt16BE(id, index * 6);
    bytes.writeUInt32BE(value, index * 6 + 2);
  });
  return frame(SETTINGS, 0, 0, bytes);
}

/** A header block of plain literals; strings up to 126 bytes. */
export function block(...fields: string[]): Buffer {
  const parts: Buffer[] = [];
  for (let index = 0; index < fields.length; index += 2) {
    const name = Buffer.from(fields[index] ?? '', 'latin1');
    const value = Buffer.from(fields[index + 1] ?? '', 'latin1');
    parts.push(Buffer.from([0, name.length]), name, Buffer.from([value.length]), value);
  }
  return Buffer.concat(parts);
}

export const get: readonly string[] = [
  ':method',
  'GET',
  ':scheme',
  'http',
  ':path',
  '/silent',
  ':authority',
  'test.local',
];

/** The fields of a GET that our test server answers with so many bytes. */
export function getBytes(count: number): string[] {
  return get.map((text) => (text === '/silent' ? `/big/${count}` : text));
}

export const post: readonly string[] = [
  ':method',
  'POST',
  ':scheme',
  'http',
  ':path',
  '/silent',
  ':authority',
  'test.local',
];

/** A request in one HEADERS frame that ends the stream. */
export function request(streamId: number, fields: readonly string[] = get): Buffer {
  return frame(HEADERS, END_HEADERS | END_STREAM, streamId, block(...fields));
}

/** A request head whose body follows. */
export function openRequest(streamId: number, fields: readonly string[] = post): Buffer {
  return frame(HEADERS, END_HEADERS, streamId, block(...fields));
}

export interface Frame {
  type: number;
  flags: number;
  streamId: number;
  payload: Buffer;
}

/** The complete frames at the begin of `bytes`. */
export function framesIn(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at + 9 <= bytes.length; ) {
    const end = at + 9 + bytes.readUIntBE(at, 3);
    if (end > bytes.length) break;
    frames.push({
      type: bytes.readUInt8(at + 3),
      flags: bytes.readUInt8(at + 4),
      streamId: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, end),
    });
    at = end;
  }
  return frames;
}

/** Collects what a connection writes. */
export class MemoryTransport implements Transport {
  readonly writes: Buffer[] = [];
  /** What `write` answers. */
  room = true;
  ended = false;
  destroyed = false;
  paused = false;

  write(parts: Buffer[]): boolean {
    this.writes.push(Buffer.concat(parts));
    return this.room;
  }

  end(onFlushed: () => void): void {
    this.ended = true;
    if (this.room) onFlushed();
  }

  destroy(): void {
    this.destroyed = true;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  /** All frames so far, behind the client preface if there is one. */
  frames(): Frame[] {
    const bytes = Buffer.concat(this.writes);
    return framesIn(
      bytes.subarray(0, preface.length).equals(preface) ? bytes.subarray(preface.length) : bytes,
    );
  }

  of(type: number): Frame[] {
    return this.frames().filter((found) => found.type === type);
  }

  /** Error code of the last GOAWAY, if any. */
  get goawayCode(): number | undefined {
    return this.of(GOAWAY).at(-1)?.payload.readUInt32BE(4);
  }

  /** Error code of the RST_STREAM for a stream, if any. */
  resetCode(streamId: number): number | undefined {
    return this.of(RST_STREAM)
      .find((found) => found.streamId === streamId)
      ?.payload.readUInt32BE(0);
  }
}

/** Lets the frames of this turn leave. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

interface Rig {
  clock: FakeClock;
  limits: Http2Limits;
  transport: MemoryTransport;
}

type Overrides = Partial<Record<Http2LimitName, number>>;

function rig(overrides: Overrides): Rig {
  return {
    clock: new FakeClock(),
    limits: new LimitLedger(http2Limits, overrides),
    transport: new MemoryTransport(),
  };
}

export interface ServerRig extends Rig {
  listener: EchoListener;
  server: Http2Server;
}

/** Our server with nothing received yet. */
export function bareServer(overrides: Overrides = {}, options: Partial<ConnectionOptions> = {}): ServerRig {
  const parts = rig(overrides);
  const listener = new EchoListener();
  const server = new Http2Server(parts.transport, listener, { ...parts, ...options });
  return { ...parts, listener, server };
}

/** Our server behind the preface and an empty SETTINGS frame. */
export function startServer(overrides: Overrides = {}, options: Partial<ConnectionOptions> = {}): ServerRig {
  const started = bareServer(overrides, options);
  started.server.receive(Buffer.concat([preface, settings()]));
  return started;
}

/** Lets go of what the rig remembers of requests, so that only the connection can keep them. */
export function forgetRequests({ listener, transport }: ServerRig): void {
  for (const list of [listener.streams, listener.heads, listener.resets, transport.writes]) list.length = 0;
}

export interface ClientRig extends Rig {
  client: Http2Client;
}

/** Our client behind the server's SETTINGS frame. */
export function startClient(overrides: Overrides = {}, options: Partial<ConnectionOptions> = {}): ClientRig {
  const parts = rig(overrides);
  const client = new Http2Client(parts.transport, { ...parts, ...options });
  client.receive(settings());
  return { ...parts, client };
}
