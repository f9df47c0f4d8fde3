/** The little of the protobuf wire format (protobuf.dev/programming-guides/encoding) that a transport header needs. */

export interface WireField {
  readonly number: number;
  /** Varint (wire type 0), or length-delimited bytes (2); fixed-size fields are only skipped. */
  readonly value: number | Buffer | undefined;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return bytes;
}

/** A varint field; `value` is a non-negative safe integer. */
export function varintField(number: number, value: number): Buffer {
  return Buffer.from([...varint(number * 8), ...varint(value)]);
}

/** A length-delimited field. */
export function bytesField(number: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(value.length)]), value]);
}

/** All fields of a message in order, or undefined when it is malformed. Groups, long obsolete, are malformed. */
export function readFields(message: Buffer): WireField[] | undefined {
  const fields: WireField[] = [];
  let at = 0;
  // NaN stands for malformed: it fails every comparison that would let it pass.
  const readVarint = (): number => {
    let value = 0;
    for (let count = 0; count < 10; count++) {
      const byte = message[at++];
      if (byte === undefined) return Number.NaN;
      value += (byte & 0x7f) * 2 ** (7 * count);
      if (byte < 0x80) return value;
    }
    return Number.NaN;
  };
  while (at < message.length) {
    const tag = readVarint();
    const number = Math.floor(tag / 8);
    if (!(number >= 1 && number <= 0x1fffffff)) return undefined;
    let value: number | Buffer | undefined;
    switch (tag % 8) {
      case 0:
        value = readVarint();
        if (Number.isNaN(value)) return undefined;
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const length = readVarint();
        if (!(length <= message.length - at)) return undefined;
        value = message.subarray(at, at + length);
        at += length;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        return undefined;
    }
    if (at > message.length) return undefined;
    fields.push({ number, value });
  }
  return fields;
}
