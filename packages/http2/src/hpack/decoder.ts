import { isFieldName, isFieldValue } from '../field-text.ts';
import { huffmanDecode } from './huffman.ts';
import { sensitive } from './sensitive.ts';
import { staticCount, staticNames, staticValues } from './static-table.ts';

/**
 * - `ok`: all fields are in the list. - `malformed`: a name or value is not allowed in HTTP (RFC 9113 §8.2.1).
 * - `too-large`: over a limit; the list is incomplete, the table is in step.
 * - `endless`: so many fields over the limit that the rest was not looked at; the table is out of step.
 * - `broken`: COMPRESSION_ERROR, the connection cannot go on (RFC 7541 §2.1).
 */
export type DecodeStatus = 'ok' | 'malformed' | 'too-large' | 'endless' | 'broken';

export interface DecoderLimits {
  /** Sum of name + value + 32 over all fields of a list. */
  headerListBytes: number;
  headerCount: number;
  /** Fields that are looked at in a list that is too large. */
  decodedFields: number;
  /** Our SETTINGS_HEADER_TABLE_SIZE. Default 4096. */
  tableBytes?: number;
}

const entryOverhead = 32;
let scratch = Buffer.allocUnsafeSlow(4096);

/** HPACK decoder of one connection (RFC 7541). Never throws. */
export class HpackDecoder {
  readonly #maxListBytes: number;
  readonly #maxCount: number;
  readonly #maxDecoded: number;
  readonly #tableLimit: number;
  // Ring of table entries; slot of the newest is #inserted - 1, modulo the power-of-two capacity.
  readonly #mask: number;
  readonly #names: string[];
  readonly #values: string[];
  /** Per slot: bit 1, the name is well formed; bit 0, the value is. */
  readonly #wellFormed: Uint8Array;
  #tableMax: number;
  #tableBytes = 0;
  #count = 0;
  #inserted = 0;

  // Cursor of the block under way.
  #source: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;
  #text = '';
  #textOk = true;
  #textBytes = 0;
  #listBytes = 0;
  #neverIndexed: string[] | undefined;

  constructor({ headerListBytes, headerCount, decodedFields, tableBytes = 4096 }: DecoderLimits) {
    this.#maxListBytes = headerListBytes;
    this.#maxCount = headerCount;
    this.#maxDecoded = decodedFields;
    this.#tableLimit = tableBytes;
    this.#tableMax = tableBytes;
    let capacity = 1;
    while (capacity < tableBytes / entryOverhead) capacity *= 2;
    this.#mask = capacity - 1;
    this.#names = [];
    this.#values = [];
    this.#wellFormed = new Uint8Array(capacity);
  }

  /** Bytes in the dynamic table, by the rule of RFC 7541 §4.1. */
  get tableBytes(): number {
    return this.#tableBytes;
  }

  /** Of the last list: sum of name + value + 32 over its fields. */
  get listBytes(): number {
    return this.#listBytes;
  }

  /** Of the last list: names, beside those that are sensitive anyway, that came never-indexed; undefined for none. */
  get neverIndexed(): readonly string[] | undefined {
    return this.#neverIndexed;
  }

  /** Decodes one complete header block and appends name, value, name, value, … to `out`. */
  decode(source: Buffer, start: number, end: number, out: string[]): DecodeStatus {
    this.#source = source;
    this.#at = start;
    this.#end = end;
    this.#listBytes = 0;
    this.#neverIndexed = undefined;
    let wellFormed = true;
    let room = true;
    let count = 0;
    let sizeUpdateAllowed = true;
    while (this.#at < this.#end) {
      const first = source[this.#at] as number;
      let name: string;
      let value: string;
      if ((first & 0x80) !== 0) {
        const index = this.#integer(0x7f);
        if (index <= 0) return 'broken';
        if (index <= staticCount) {
          name = staticNames[index] as string;
          value = staticValues[index] as string;
        } else {
          const slot = this.#slot(index);
          if (slot < 0) return 'broken';
          name = this.#names[slot] as string;
          value = this.#values[slot] as string;
          if (this.#wellFormed[slot] !== 3) wellFormed = false;
        }
        this.#listBytes += name.length + value.length + entryOverhead;
      } else if ((first & 0xe0) === 0x20) {
        const size = this.#integer(0x1f);
        if (!sizeUpdateAllowed || size < 0 || size > this.#tableLimit) return 'broken';
        this.#tableMax = size;
        this.#evict(size);
        continue;
      } else {
        const index = this.#integer((first & 0x40) !== 0 ? 0x3f : 0x0f);
        const indexed = (first & 0x40) !== 0;
        if (index < 0) return 'broken';
        // Text is only materialised for a list that still fits, or for the table, which bounds it too.
        const most = room ? this.#maxListBytes : indexed ? this.#tableMax : 0;
        let nameOk = true;
        let fieldBytes = entryOverhead;
        if (index === 0) {
          if (!this.#string(most, true)) return 'broken';
          name = this.#text;
          nameOk = this.#textOk;
          fieldBytes += this.#textBytes;
        } else if (index <= staticCount) {
          name = staticNames[index] as string;
          fieldBytes += name.length;
        } else {
          const slot = this.#slot(index);
          if (slot < 0) return 'broken';
          name = this.#names[slot] as string;
          fieldBytes += name.length;
          nameOk = ((this.#wellFormed[slot] as number) & 2) !== 0;
        }
        if (!this.#string(most, false)) return 'broken';
        value = this.#text;
        fieldBytes += this.#textBytes;
        const marks = (nameOk ? 2 : 0) | (this.#textOk ? 1 : 0);
        if (indexed) this.#insert(name, value, marks, fieldBytes);
        if (marks !== 3) wellFormed = false;
        if (first >= 0x10 && !indexed && room && !sensitive.has(name)) (this.#neverIndexed ??= []).push(name);
        this.#listBytes += fieldBytes;
      }
      sizeUpdateAllowed = false;
      count += 1;
      if (count > this.#maxCount || this.#listBytes > this.#maxListBytes) {
        room = false;
        if (count > this.#maxDecoded) return 'endless';
      }
      if (room) out.push(name, value);
    }
    if (!room) return 'too-large';
    return wellFormed ? 'ok' : 'malformed';
  }

  /** Prefix integer at the cursor (RFC 7541 §5.1); -1 when truncated or 2²⁸ and more. */
  #integer(prefix: number): number {
    let value = (this.#source[this.#at++] as number) & prefix;
    if (value < prefix) return value;
    for (let shift = 0; shift < 28; shift += 7) {
      if (this.#at >= this.#end) return -1;
      const byte = this.#source[this.#at++] as number;
      value += (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return value;
    }
    return -1;
  }

  /**
   * Reads a string literal (§5.2) into #text, #textOk and #textBytes. Text longer than `most` is skipped:
   * #text is then empty and #textBytes at least `most` + 1, so that every budget is exceeded.
   */
  #string(most: number, isName: boolean): boolean {
    if (this.#at >= this.#end) return false;
    const huffman = ((this.#source[this.#at] as number) & 0x80) !== 0;
    const length = this.#integer(0x7f);
    if (length < 0 || length > this.#end - this.#at) return false;
    const start = this.#at;
    const end = start + length;
    this.#at = end;
    this.#text = '';
    this.#textOk = true;
    this.#textBytes = length;
    if (!huffman) {
      if (length > most) return true;
      this.#textOk = isName ? isFieldName(this.#source, start, end) : isFieldValue(this.#source, start, end);
      this.#text = this.#source.toString('latin1', start, end);
      return true;
    }
    // No code is longer than 30 bits, none shorter than 5.
    if (length * 8 > (most + 1) * 30) {
      this.#textBytes = most + 1;
      return true;
    }
    const longest = Math.min(most, Math.floor((length * 8) / 5));
    if (scratch.length < longest) scratch = Buffer.allocUnsafeSlow(longest);
    const written = huffmanDecode(this.#source, start, end, scratch);
    if (written === -1) return false;
    if (written === -2 || written > most) {
      this.#textBytes = most + 1;
      return true;
    }
    this.#textBytes = written;
    this.#textOk = isName ? isFieldName(scratch, 0, written) : isFieldValue(scratch, 0, written);
    this.#text = scratch.toString('latin1', 0, written);
    return true;
  }

  #slot(index: number): number {
    const age = index - staticCount;
    return age > this.#count ? -1 : (this.#inserted - age) & this.#mask;
  }

  #insert(name: string, value: string, marks: number, bytes: number): void {
    if (bytes > this.#tableMax) {
      this.#evict(0);
      return;
    }
    this.#evict(this.#tableMax - bytes);
    const slot = this.#inserted & this.#mask;
    this.#names[slot] = name;
    this.#values[slot] = value;
    this.#wellFormed[slot] = marks;
    this.#inserted += 1;
    this.#count += 1;
    this.#tableBytes += bytes;
  }

  #evict(target: number): void {
    while (this.#tableBytes > target) {
      const slot = (this.#inserted - this.#count) & this.#mask;
      this.#tableBytes -=
        (this.#names[slot] as string).length + (this.#values[slot] as string).length + entryOverhead;
      this.#names[slot] = '';
      this.#values[slot] = '';
      this.#count -= 1;
    }
  }
}
