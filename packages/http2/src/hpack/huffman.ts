/**
 * The static Huffman code of HPACK (RFC 7541 appendix B).
 *
 * The code is canonical: codes of one length are handed out in the order of the symbols, shorter ones first, so the
 * lengths alone define it. Decoding walks a table of (state, four bits): the shortest code has five bits, so a step
 * yields at most one symbol.
 */

/** Bits per symbol, 0 to 255 and then end-of-string. */
const lengths: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28,
  28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7,
  8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19,
  13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13,
  28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21,
  22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23,
  22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25,
  25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const endOfString = 256;

function assignCodes(): Uint32Array {
  const codes = new Uint32Array(lengths.length);
  let code = 0;
  for (let bits = 1; bits <= 30; bits++) {
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      if (lengths[symbol] !== bits) continue;
      codes[symbol] = code;
      code += 1;
    }
    code *= 2;
  }
  return codes;
}

const codes = assignCodes();
const bitsOf = Uint8Array.from(lengths);

// One step: next state in bits 0-8, symbol in bits 9-16, then these marks.
const emits = 1 << 17;
const fails = 1 << 18;

interface Machine {
  readonly steps: Int32Array;
  /** 1 where input may end: fewer than eight bits, all ones, are pending (§5.2). */
  readonly final: Uint8Array;
}

function buildMachine(): Machine {
  // Inner nodes of the code tree; a child is a node number, or -1 - symbol for a leaf.
  const zero: number[] = [0];
  const one: number[] = [0];
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const bits = bitsOf[symbol] as number;
    const code = codes[symbol] as number;
    let node = 0;
    for (let bit = bits - 1; bit > 0; bit--) {
      const side = (code >>> bit) & 1 ? one : zero;
      let next = side[node] as number;
      if (next === 0) {
        next = zero.length;
        zero.push(0);
        one.push(0);
        side[node] = next;
      }
      node = next;
    }
    ((code & 1) === 1 ? one : zero)[node] = -1 - symbol;
  }
  const steps = new Int32Array(zero.length * 16);
  for (let state = 0; state < zero.length; state++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = state;
      let step = 0;
      for (let bit = 3; bit >= 0; bit--) {
        const next = ((nibble >>> bit) & 1 ? one : zero)[node] as number;
        if (next >= 0) {
          node = next;
          continue;
        }
        const symbol = -1 - next;
        if (symbol === endOfString) step = fails;
        else step |= emits | (symbol << 9);
        node = 0;
      }
      steps[state * 16 + nibble] = step | node;
    }
  }
  const final = new Uint8Array(zero.length);
  let padding = 0;
  for (let depth = 0; depth < 8; depth++) {
    final[padding] = 1;
    padding = one[padding] as number;
  }
  return { steps, final };
}

const { steps, final } = buildMachine();

/**
 * Decodes `source[start, end)` into `target` from its begin.
 * @returns bytes written, -1 for invalid input, -2 when the text does not fit into `target`
 */
export function huffmanDecode(source: Buffer, start: number, end: number, target: Buffer): number {
  let state = 0;
  let written = 0;
  for (let at = start; at < end; at++) {
    const byte = source[at] as number;
    let step = steps[state * 16 + (byte >>> 4)] as number;
    if ((step & emits) !== 0) {
      if (written === target.length) return -2;
      target[written++] = (step >>> 9) & 0xff;
    }
    if ((step & fails) !== 0) return -1;
    state = step & 0x1ff;
    step = steps[state * 16 + (byte & 15)] as number;
    if ((step & emits) !== 0) {
      if (written === target.length) return -2;
      target[written++] = (step >>> 9) & 0xff;
    }
    if ((step & fails) !== 0) return -1;
    state = step & 0x1ff;
  }
  return final[state] === 1 ? written : -1;
}

/** Length in bytes of `text` (latin1) once encoded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let at = 0; at < text.length; at++) bits += bitsOf[text.charCodeAt(at) & 0xff] as number;
  return (bits + 7) >>> 3;
}

/** Encodes `text` (latin1) into `target` at `offset`; returns the offset behind it. The caller made room. */
export function huffmanEncode(text: string, target: Buffer, offset: number): number {
  let pending = 0;
  let pendingBits = 0;
  let at = offset;
  for (let index = 0; index < text.length; index++) {
    const symbol = text.charCodeAt(index) & 0xff;
    const code = codes[symbol] as number;
    let bits = bitsOf[symbol] as number;
    while (bits > 0) {
      const take = Math.min(8 - pendingBits, bits);
      pending = (pending << take) | ((code >>> (bits - take)) & ((1 << take) - 1));
      pendingBits += take;
      bits -= take;
      if (pendingBits === 8) {
        target[at++] = pending;
        pending = 0;
        pendingBits = 0;
      }
    }
  }
  if (pendingBits > 0) target[at++] = (pending << (8 - pendingBits)) | (0xff >>> pendingBits);
  return at;
}
