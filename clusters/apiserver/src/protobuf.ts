/**
 * Objects in Kubernetes' protobuf envelope (`k8s\0`, then `runtime.Unknown`), which some kubectl commands send.
 * Decoded into the JSON form by the tables of protobuf-messages.ts. Faults are values.
 */
import type { Json, JsonObject } from './json.ts';
import { messages, type MessageFields } from './protobuf-messages.ts';

export const protobufType = 'application/vnd.kubernetes.protobuf';

export type ProtobufResult =
  | { readonly kind: 'ok'; readonly object: JsonObject }
  /** `unsupported`: a message or field that the tables do not have. */
  | { readonly kind: 'malformed' | 'unsupported'; readonly fault: string };

const magic = Buffer.from('k8s\0');
const envelope: MessageFields = { 1: ['typeMeta', 'TypeMeta'], 2: ['raw', 'raw'] };
const typeMeta: MessageFields = { 1: ['apiVersion', 'string'], 2: ['kind', 'string'] };
const deepest = 20;

class Fault extends Error {
  readonly kind: 'malformed' | 'unsupported';

  constructor(kind: 'malformed' | 'unsupported', message: string) {
    super(message);
    this.kind = kind;
  }
}

interface Wire {
  readonly number: number;
  /** Length-delimited content, or the value of a varint. */
  readonly content: Buffer | bigint;
}

function* wireFields(bytes: Buffer): Generator<Wire> {
  let offset = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[offset++];
      if (byte === undefined) throw new Fault('malformed', 'a number is cut short');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
    throw new Fault('malformed', 'a number is longer than 64 bits');
  };
  while (offset < bytes.length) {
    const tag = varint();
    const number = Number(tag >> 3n);
    const wireType = Number(tag & 7n);
    if (wireType === 0) yield { number, content: varint() };
    else if (wireType === 2) {
      const length = Number(varint());
      if (length < 0 || offset + length > bytes.length) {
        throw new Fault('malformed', `field ${number} is longer than the message`);
      }
      yield { number, content: bytes.subarray(offset, offset + length) };
      offset += length;
    } else throw new Fault('unsupported', `wire type ${wireType} of field ${number}`);
  }
}

function delimited(content: Buffer | bigint): Buffer {
  if (typeof content === 'bigint') throw new Fault('malformed', 'a number where bytes belong');
  return content;
}

/** The JSON form of one value, or undefined for a zero value that JSON leaves out. */
function decodeValue(type: string, content: Buffer | bigint, depth: number): Json | undefined {
  switch (type) {
    case 'string':
      return delimited(content).toString('utf8');
    case 'bytes':
      return delimited(content).toString('base64');
    case 'int':
    case 'int?':
    case 'bool':
    case 'bool?': {
      if (typeof content !== 'bigint') throw new Fault('malformed', 'bytes where a number belongs');
      if (!type.endsWith('?') && content === 0n) return undefined;
      return type.startsWith('bool') ? content !== 0n : Number(content);
    }
    case 'time': {
      const [seconds] = [...wireFields(delimited(content))].filter(({ number }) => number === 1);
      if (seconds === undefined || typeof seconds.content !== 'bigint') return undefined;
      return `${new Date(Number(seconds.content) * 1000).toISOString().slice(0, 19)}Z`;
    }
    case 'intOrString': {
      const parts = new Map(
        [...wireFields(delimited(content))].map((field) => [field.number, field.content]),
      );
      const text = parts.get(3);
      const number = parts.get(2);
      if (parts.get(1) === 1n) return text instanceof Buffer ? text.toString('utf8') : '';
      return typeof number === 'bigint' && number !== 0n ? Number(number) : undefined;
    }
    default: {
      const fields = messages[type];
      if (fields === undefined) throw new Fault('unsupported', `message ${type}`);
      return decodeMessage(type, fields, delimited(content), depth + 1);
    }
  }
}

function decodeMessage(name: string, fields: MessageFields, bytes: Buffer, depth: number): JsonObject {
  if (depth > deepest) throw new Fault('malformed', 'messages are nested too deeply');
  const object = new Map<string, Json>();
  for (const { number, content } of wireFields(bytes)) {
    const [member, type] = fields[number] ?? [];
    if (member === undefined || type === undefined) {
      // Zero values are on the wire too; only a field that says something must be known.
      if (typeof content === 'bigint' ? content === 0n : isEmptyMessage(content)) continue;
      throw new Fault('unsupported', `field ${number} of ${name}`);
    }
    if (type.startsWith('[]')) {
      const list = object.get(member);
      const value = decodeValue(type.slice(2), content, depth) ?? null;
      object.set(member, Array.isArray(list) ? [...list, value] : [value]);
    } else if (type === 'map' || type === 'map-bytes') {
      const entry = new Map(
        [...wireFields(delimited(content))].map((field) => [field.number, field.content]),
      );
      const key = delimited(entry.get(1) ?? Buffer.alloc(0)).toString('utf8');
      const value = delimited(entry.get(2) ?? Buffer.alloc(0));
      const map = object.get(member) ?? {};
      object.set(member, {
        ...(map as JsonObject),
        [key]: value.toString(type === 'map' ? 'utf8' : 'base64'),
      });
    } else {
      const value = decodeValue(type, content, depth);
      if (value !== undefined && value !== '') object.set(member, value);
    }
  }
  return Object.fromEntries(object);
}

/** Nothing in it but empty messages and zeros, as an unset struct is written. */
function isEmptyMessage(bytes: Buffer): boolean {
  try {
    return [...wireFields(bytes)].every(({ content }) =>
      typeof content === 'bigint' ? content === 0n : isEmptyMessage(content),
    );
  } catch {
    return false;
  }
}

export function decodeProtobuf(bytes: Buffer): ProtobufResult {
  if (!bytes.subarray(0, magic.length).equals(magic)) {
    return { kind: 'malformed', fault: 'the body does not begin with the envelope of Kubernetes objects' };
  }
  try {
    let type: JsonObject = {};
    let raw: Buffer = Buffer.alloc(0);
    for (const { number, content } of wireFields(bytes.subarray(magic.length))) {
      const [member] = envelope[number] ?? [];
      if (member === 'typeMeta') type = decodeMessage('TypeMeta', typeMeta, delimited(content), 0);
      else if (member === 'raw') raw = delimited(content);
    }
    const kind = typeof type['kind'] === 'string' ? type['kind'] : '';
    const fields = messages[kind];
    if (fields === undefined || (fields[1]?.[0] !== 'metadata' && kind !== 'DeleteOptions')) {
      return { kind: 'unsupported', fault: `objects of kind ${JSON.stringify(kind)}` };
    }
    return { kind: 'ok', object: { ...type, ...decodeMessage(kind, fields, raw, 0) } };
  } catch (thrown) {
    if (thrown instanceof Fault) return { kind: thrown.kind, fault: thrown.message };
    throw thrown;
  }
}
