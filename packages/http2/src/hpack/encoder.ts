import { huffmanEncode, huffmanLength } from './huffman.ts';
import { sensitive } from './sensitive.ts';
import { staticByName, staticCount, type StaticName } from './static-table.ts';

export interface EncoderOptions {
  /** Most the table may hold, whatever the peer allows. Default 4096. */
  tableBytes?: number;
  /** Huffman-code literals. Off by default: between proxies bytes are cheaper than the time to shift them. */
  huffman?: boolean;
  /** Put a field into the table when it is seen first, not when it repeats. Off by default. */
  eager?: boolean;
}

const entryOverhead = 32;
/** Values of a name that were seen once and may earn a table entry by coming again. */
const candidatesPerName = 4;
/** Names that are tracked, and how long they may be; a peer that invents more gets plain literals. */
const trackedNames = 256;
const trackedNameLength = 64;

/** What this connection knows of one name. */
class NameState {
  readonly fixed: StaticName | undefined;
  /** Index by value in the static table; undefined for names that have no value there. */
  readonly fixedByValue: ReadonlyMap<string, number> | undefined;
  readonly sensitive: boolean;
  /** Insert number of the newest table entry per value. */
  readonly byValue: Map<string, number> = new Map();
  newest = 0;
  /** Value of the newest entry: most names keep one value for long, and comparing is cheaper than hashing. */
  newestValue = '';
  /** Hashes: the values themselves may be slices of a head of 64 KiB, which they would keep. */
  readonly candidates: number[] = [];
  nextCandidate = 0;

  constructor(name: string) {
    this.fixed = staticByName.get(name);
    this.fixedByValue = this.fixed?.byValue.size === 0 ? undefined : this.fixed?.byValue;
    this.sensitive = sensitive.has(name);
  }
}

interface Entry {
  readonly state: NameState;
  readonly value: string;
  readonly bytes: number;
  readonly number: number;
}

// Blocks are built one at a time, whoever builds them, and copied out before the next begins.
let block = Buffer.allocUnsafeSlow(16_384);

/**
 * HPACK encoder of one connection (RFC 7541). Fields enter the dynamic table when they come a second time, so that
 * values that never repeat (paths, ids, dates) do not push out those that do.
 */
export class HpackEncoder {
  readonly #names: Map<string, NameState> = new Map();
  readonly #entries: Entry[] = [];
  readonly #ceiling: number;
  readonly #huffman: boolean;
  readonly #eager: boolean;
  #oldest = 0;
  #inserted = 0;
  #tableMax: number;
  #tableBytes = 0;
  // Table size updates that the next block must begin with (§4.2), or -1.
  #announceLeast = -1;
  #announceLast = -1;
  #at = 0;
  /** Of the block under way: names beside the sensitive ones that their sender wants in no table. */
  #neverIndexed: readonly string[] | undefined;

  constructor({ tableBytes = 4096, huffman = false, eager = false }: EncoderOptions = {}) {
    this.#ceiling = tableBytes;
    this.#tableMax = Math.min(tableBytes, 4096);
    this.#huffman = huffman;
    this.#eager = eager;
  }

  get tableBytes(): number {
    return this.#tableBytes;
  }

  /** Takes the peer's SETTINGS_HEADER_TABLE_SIZE. */
  setPeerTableSize(bytes: number): void {
    const size = Math.min(bytes, this.#ceiling);
    if (size === this.#tableMax && this.#announceLast < 0) return;
    this.#announceLeast = this.#announceLeast < 0 ? size : Math.min(this.#announceLeast, size);
    this.#announceLast = size;
    this.#tableMax = size;
    this.#evict(size);
  }

  /**
   * Begins a block; then `field`s, then `finish`. Blocks leave in the order they are begun.
   * @param neverIndexed names that came never-indexed
   */
  begin(neverIndexed?: readonly string[]): void {
    this.#at = 0;
    this.#neverIndexed = neverIndexed;
    if (this.#announceLast < 0) return;
    if (this.#announceLeast < this.#announceLast) this.#integer(0x20, 0x1f, this.#announceLeast);
    this.#integer(0x20, 0x1f, this.#announceLast);
    this.#announceLeast = -1;
    this.#announceLast = -1;
  }

  field(name: string, value: string): void {
    // Room for any literal: two lengths, and Huffman codes are only used where they are shorter.
    const need = this.#at + name.length + value.length + 16;
    if (need > block.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(need, block.length * 2));
      block.copy(larger, 0, 0, this.#at);
      block = larger;
    }
    let state = this.#names.get(name);
    if (state === undefined) {
      state = new NameState(name);
      if (this.#names.size < trackedNames && name.length <= trackedNameLength) {
        this.#names.set(copyOf(name), state);
      }
    }
    if (this.#neverIndexed !== undefined && this.#neverIndexed.includes(name)) {
      this.#literal(0x10, 0x0f, this.#nameIndex(state), name, value);
      return;
    }
    if (state.newest !== 0 && state.newestValue === value) {
      this.#integer(0x80, 0x7f, staticCount + 1 + this.#inserted - state.newest);
      return;
    }
    const fixedIndex = state.fixedByValue?.get(value);
    if (fixedIndex !== undefined) {
      this.#integer(0x80, 0x7f, fixedIndex);
      return;
    }
    const number = state.byValue.get(value);
    if (number !== undefined) {
      this.#integer(0x80, 0x7f, staticCount + 1 + this.#inserted - number);
      return;
    }
    const nameIndex = this.#nameIndex(state);
    if (state.sensitive) {
      this.#literal(0x10, 0x0f, nameIndex, name, value);
    } else if (this.#earnsEntry(name, value, state)) {
      this.#literal(0x40, 0x3f, nameIndex, name, value);
      this.#insert(name, value, state);
    } else {
      this.#literal(0x00, 0x0f, nameIndex, name, value);
    }
  }

  /** The block's length. Its bytes are in `encodedBlock()` until the next `begin` of any encoder. */
  finish(): number {
    return this.#at;
  }

  #nameIndex(state: NameState): number {
    if (state.fixed !== undefined) return state.fixed.index;
    return state.newest === 0 ? 0 : staticCount + 1 + this.#inserted - state.newest;
  }

  #earnsEntry(name: string, value: string, state: NameState): boolean {
    const bytes = name.length + value.length + entryOverhead;
    if (this.#eager) return bytes <= this.#tableMax;
    if (bytes * 2 > this.#tableMax) return false;
    const hash = hashOf(value);
    if (state.candidates.includes(hash)) return true;
    state.candidates[state.nextCandidate] = hash;
    state.nextCandidate = (state.nextCandidate + 1) % candidatesPerName;
    return false;
  }

  #insert(name: string, text: string, state: NameState): void {
    const value = copyOf(text);
    const bytes = name.length + value.length + entryOverhead;
    this.#evict(this.#tableMax - bytes);
    this.#inserted += 1;
    this.#entries.push({ state, value, bytes, number: this.#inserted });
    this.#tableBytes += bytes;
    state.byValue.set(value, this.#inserted);
    state.newest = this.#inserted;
    state.newestValue = value;
  }

  #evict(target: number): void {
    while (this.#tableBytes > target) {
      const entry = this.#entries[this.#oldest] as Entry;
      this.#oldest += 1;
      this.#tableBytes -= entry.bytes;
      if (entry.state.byValue.get(entry.value) === entry.number) entry.state.byValue.delete(entry.value);
      if (entry.state.newest === entry.number) entry.state.newest = 0;
    }
    if (this.#oldest > 64 && this.#oldest * 2 > this.#entries.length) {
      this.#entries.splice(0, this.#oldest);
      this.#oldest = 0;
    }
  }

  #literal(pattern: number, prefix: number, nameIndex: number, name: string, value: string): void {
    this.#integer(pattern, prefix, nameIndex);
    if (nameIndex === 0) this.#string(name);
    this.#string(value);
  }

  #integer(pattern: number, prefix: number, value: number): void {
    if (value < prefix) {
      block[this.#at++] = pattern | value;
      return;
    }
    block[this.#at++] = pattern | prefix;
    let rest = value - prefix;
    while (rest >= 0x80) {
      block[this.#at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    block[this.#at++] = rest;
  }

  #string(text: string): void {
    const length = text.length;
    if (this.#huffman) {
      const shorter = huffmanLength(text);
      if (shorter <= length && length > 0) {
        this.#integer(0x80, 0x7f, shorter);
        this.#at = huffmanEncode(text, block, this.#at);
        return;
      }
    }
    this.#integer(0, 0x7f, length);
    if (length <= 20) {
      for (let index = 0; index < length; index++) block[this.#at++] = text.charCodeAt(index);
    } else {
      this.#at += block.write(text, this.#at, 'latin1');
    }
  }
}

/** FNV-1a. A value that is taken for another enters the table the first time it comes, which costs some bytes. */
function hashOf(value: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < value.length; index++) {
    hash = Math.imul(hash ^ value.charCodeAt(index), 0x01000193);
  }
  return hash;
}

/** The same text without the larger one that it may be cut from. */
function copyOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

/** The buffer that the block just finished begins. */
export function encodedBlock(): Buffer {
  return block;
}
