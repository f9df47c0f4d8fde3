/**
 * Distinguished Encoding Rules (ITU-T X.690 §10), as far as certificates need them.
 *
 * Reading is strict (definite, minimal lengths, low tag numbers) and returns undefined on a fault; writing builds
 * buffers from the inside out.
 */

/** Tags of X.690 §8.1.2 that X.509 uses. */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Context-specific tag `number`; `constructed` for explicit tagging and implicit structures. */
export function contextTag(number: number, constructed: boolean): number {
  return (constructed ? 0xa0 : 0x80) | number;
}

export interface Element {
  readonly tag: number;
  /** Header and content. */
  readonly whole: Buffer;
  readonly content: Buffer;
}

/** Reads elements one after the other. After a fault every further read returns undefined. */
export class DerReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#offset === this.#bytes.length;
  }

  /** Tag of the next element, or undefined at the end. */
  peekTag(): number | undefined {
    return this.#bytes[this.#offset];
  }

  /** The next element; undefined when there is none, when it is malformed or when it has another tag. */
  next(tag?: number): Element | undefined {
    const bytes = this.#bytes;
    const start = this.#offset;
    const found = bytes[start];
    let length = bytes[start + 1];
    if (found === undefined || length === undefined || (found & 0x1f) === 0x1f) return undefined;
    if (tag !== undefined && found !== tag) return undefined;
    let from = start + 2;
    if (length >= 0x80) {
      const size = length & 0x7f;
      if (size === 0 || size > 3 || from + size > bytes.length) return undefined;
      length = bytes.readUIntBE(from, size);
      if (length < (size === 1 ? 0x80 : 2 ** (8 * (size - 1)))) return undefined;
      from += size;
    }
    const end = from + length;
    if (end > bytes.length) return undefined;
    this.#offset = end;
    return { tag: found, whole: bytes.subarray(start, end), content: bytes.subarray(from, end) };
  }

  /** The next element when it has this tag; leaves other elements alone. For optional fields. */
  optional(tag: number): Element | undefined {
    return this.peekTag() === tag ? this.next(tag) : undefined;
  }
}

/** Content of the only element in `bytes`, or undefined. */
export function onlyElement(bytes: Buffer, tag: number): Buffer | undefined {
  const reader = new DerReader(bytes);
  const element = reader.next(tag);
  return element !== undefined && reader.atEnd ? element.content : undefined;
}

/** Dotted form of an OID's content, or undefined when malformed. */
export function readOid(content: Buffer): string | undefined {
  const arcs: number[] = [];
  let value = 0;
  let open = false;
  for (const byte of content) {
    if (!open && byte === 0x80) return undefined;
    value = value * 128 + (byte & 0x7f);
    if (value > Number.MAX_SAFE_INTEGER / 128) return undefined;
    open = byte >= 0x80;
    if (open) continue;
    if (arcs.length === 0) {
      const root = Math.min(2, Math.floor(value / 40));
      arcs.push(root, value - 40 * root);
    } else {
      arcs.push(value);
    }
    value = 0;
  }
  return open || arcs.length === 0 ? undefined : arcs.join('.');
}

/** Milliseconds since the epoch of a UTCTime or GeneralizedTime in the form RFC 5280 §4.1.2.5 allows. */
export function readTime({ tag, content }: Element): number | undefined {
  const text = content.toString('latin1');
  const match =
    tag === tags.utcTime
      ? /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text)
      : tag === tags.generalizedTime
        ? /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text)
        : null;
  if (match === null) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
  const full = tag === tags.generalizedTime ? year : year < 50 ? 2000 + year : 1900 + year;
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59)
    return undefined;
  return Date.UTC(full, month - 1, day, hour, minute, second);
}

/** One element. */
export function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  let header: Buffer;
  if (length < 0x80) header = Buffer.from([tag, length]);
  else if (length < 0x100) header = Buffer.from([tag, 0x81, length]);
  else if (length < 0x10000) header = Buffer.from([tag, 0x82, length >> 8, length & 0xff]);
  else header = Buffer.from([tag, 0x83, length >> 16, (length >> 8) & 0xff, length & 0xff]);
  return Buffer.concat([header, ...parts]);
}

export function derSequence(...parts: readonly Buffer[]): Buffer {
  return der(tags.sequence, ...parts);
}

export function derBoolean(value: boolean): Buffer {
  return der(tags.boolean, Buffer.from([value ? 0xff : 0]));
}

/** Non-negative INTEGER from big-endian bytes. */
export function derInteger(bytes: Buffer): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const trimmed = bytes.subarray(start);
  const high = (trimmed[0] ?? 0) >= 0x80;
  return der(tags.integer, high || trimmed.length === 0 ? Buffer.from([0]) : Buffer.alloc(0), trimmed);
}

/** BIT STRING; `unusedBits` at the end of the last byte. */
export function derBitString(bytes: Buffer, unusedBits = 0): Buffer {
  return der(tags.bitString, Buffer.from([unusedBits]), bytes);
}

/** OBJECT IDENTIFIER from its dotted form. */
export function derOid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const groups = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      groups.unshift((left % 128) | 0x80);
    bytes.push(...groups);
  }
  return der(tags.oid, Buffer.from(bytes));
}

/** UTCTime before 2050, GeneralizedTime after (RFC 5280 §4.1.2.5), cut to whole seconds. */
export function derTime(wallMs: number): Buffer {
  const digits = new Date(wallMs).toISOString().replace(/[-:T]/g, '').slice(0, 14);
  const utc = Number(digits.slice(0, 4)) < 2050;
  return der(
    utc ? tags.utcTime : tags.generalizedTime,
    Buffer.from(`${utc ? digits.slice(2) : digits}Z`, 'latin1'),
  );
}
