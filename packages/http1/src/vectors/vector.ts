/**
 * One connection's bytes and what must come of them. The tables beside this file are the contract of the codec; they
 * are read whole, byte by byte and cut at every offset by both roles, and sent to other servers by the differential run.
 */
import type { Http1Fault } from '../faults.ts';

export interface Vector {
  readonly subject: string;
  readonly name: string;
  /** Section that decides, such as `9112 §3.2`. */
  readonly rfc: string;
  readonly role: 'request' | 'response';
  /** Latin1. */
  readonly bytes: string;
  /**
   * Complete messages in order, as a listener sees them: `GET a /path HTTP/1.0 {name: value; …} "body" +{trailer: value}`
   * with `HTTP/1.0`, fields, body and trailers only where there are some; responses start with their status.
   */
  readonly sees: readonly string[];
  /**
   * After the bytes: `complete` (the next message may follow), `waits` (something is missing, nothing is wrong), `tunnel`
   * (a request asks for one), or why the connection is refused.
   */
  readonly ends: 'complete' | 'waits' | 'tunnel' | Http1Fault;
  /** For responses: method of the request they answer. */
  readonly method: string;
  /** For responses: protocol that the request asked to upgrade to; empty for none. */
  readonly upgrade: string;
}

type Outcome = Pick<Vector, 'bytes' | 'sees' | 'ends'>;

/** Every message is taken. */
export function takes(bytes: string, ...sees: string[]): Outcome {
  return { bytes, sees, ends: 'complete' };
}

/** What was complete before is taken, then the connection is refused. */
export function refuses(ends: Http1Fault, bytes: string, ...sees: string[]): Outcome {
  return { bytes, sees, ends };
}

/** The last message is not complete. */
export function waits(bytes: string, ...sees: string[]): Outcome {
  return { bytes, sees, ends: 'waits' };
}

/** The last request asks for a tunnel; nothing behind it is a request until that is decided. */
export function asksTunnel(bytes: string, ...sees: string[]): Outcome {
  return { bytes, sees, ends: 'tunnel' };
}

export function requests(subject: string, rfc: string, table: Record<string, Outcome>): readonly Vector[] {
  return Object.entries(table).map(([name, outcome]) => ({
    subject,
    name,
    rfc,
    role: 'request',
    method: '',
    upgrade: '',
    ...outcome,
  }));
}

export function responses(
  subject: string,
  rfc: string,
  table: Record<string, Outcome>,
  { method = 'GET', upgrade = '' }: { method?: string; upgrade?: string } = {},
): readonly Vector[] {
  return Object.entries(table).map(([name, outcome]) => ({
    subject,
    name,
    rfc,
    role: 'response',
    method,
    upgrade,
    ...outcome,
  }));
}

/** One vector for each member of `values`. */
export function family<Value>(
  values: Iterable<Value>,
  each: (value: Value) => [name: string, outcome: Outcome],
): Record<string, Outcome> {
  return Object.fromEntries(Array.from(values, each));
}

/** All byte values that satisfy `test`, as characters. */
export function bytesThat(test: (byte: number) => boolean): string[] {
  return Array.from({ length: 256 }, (_, byte) => byte)
    .filter(test)
    .map((byte) => String.fromCharCode(byte));
}

/** `0x0d`, for names of vectors. */
export function hex(character: string): string {
  return `0x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
}
