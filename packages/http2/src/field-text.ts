/**
 * Which bytes may stand in field names and values (RFC 9113 §8.2.1). Checked once where text enters, on its bytes.
 */

// 1: token character in lower case (RFC 9110 §5.6.2); everything else, upper case included, is malformed.
const nameBytes = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
  nameBytes[character.charCodeAt(0)] = 1;
}

/** A name is a lower-case token, with one colon before it for a pseudo-header. */
export function isFieldName(bytes: Buffer, start: number, end: number): boolean {
  let at = bytes[start] === 0x3a ? start + 1 : start;
  if (at >= end) return false;
  for (; at < end; at++) {
    if (nameBytes[bytes[at] as number] === 0) return false;
  }
  return true;
}

/**
 * A value has no control character but tabs, and neither begins nor ends with a space or a tab. HTTP/2 itself forbids
 * NUL, CR and LF only; RFC 9110 §5.5 forbids the others, and the next hop may speak HTTP/1.
 */
export function isFieldValue(bytes: Buffer, start: number, end: number): boolean {
  if (start === end) return true;
  const first = bytes[start];
  const last = bytes[end - 1];
  if (first === 0x20 || first === 0x09 || last === 0x20 || last === 0x09) return false;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte < 0x20 ? byte !== 0x09 : byte === 0x7f) return false;
  }
  return true;
}
