import type { Random } from '@mesh/clock/clock';

const interesting = [0, 1, 2, 4, 8, 9, 0x10, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0xbe, 0xc0, 0xfe, 0xff];
const interesting32 = [0, 1, 0x7fff, 0x8000, 0xffff, 0x4000, 0x4001, 0x7fffffff, 0x80000000, 0xffffffff];

export interface MutationOptions {
  random: Random;
  mostBytes: number;
  dictionary: readonly Buffer[];
  /** Another input of the corpus, for splices. */
  other: Buffer;
}

/** One to eight small changes of `input`, which stays as it is. */
export function mutate(input: Buffer, options: MutationOptions): Buffer {
  const { random, mostBytes } = options;
  let bytes: Buffer = Buffer.from(input);
  for (let left = 1 << below(random, 4); left > 0; left--) bytes = changed(bytes, options);
  return bytes.length > mostBytes ? bytes.subarray(0, mostBytes) : bytes;
}

function below(random: Random, bound: number): number {
  return Math.floor(random.next() * bound);
}

function changed(bytes: Buffer, { random, dictionary, other }: MutationOptions): Buffer {
  const at = below(random, bytes.length + 1);
  const length = 1 + below(random, 1 << below(random, 7));
  if (bytes.length === 0) return inserted(bytes, 0, randomBytes(random, length));
  const place = Math.min(at, bytes.length - 1);
  switch (below(random, 11)) {
    case 0:
      bytes[place] = (bytes[place] as number) ^ (1 << below(random, 8));
      return bytes;
    case 1:
      bytes[place] = below(random, 256);
      return bytes;
    case 2:
      bytes[place] = interesting[below(random, interesting.length)] as number;
      return bytes;
    case 3:
      bytes[place] = (bytes[place] as number) + below(random, 33) - 16;
      return bytes;
    case 4:
      return writtenNumber(bytes, place, random);
    case 5:
      return Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + length)]);
    case 6:
      return inserted(bytes, at, randomBytes(random, length));
    case 7:
      return inserted(bytes, at, bytes.subarray(place, place + length));
    case 8: {
      const from = below(random, other.length + 1);
      return inserted(bytes, at, other.subarray(from, from + length * 4));
    }
    case 9:
      return Buffer.concat([bytes.subarray(0, at), other.subarray(below(random, other.length + 1))]);
    default: {
      const piece = dictionary[below(random, dictionary.length)];
      return piece === undefined ? inserted(bytes, at, randomBytes(random, 1)) : inserted(bytes, at, piece);
    }
  }
}

function inserted(bytes: Buffer, at: number, piece: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
}

function randomBytes(random: Random, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let index = 0; index < length; index++) bytes[index] = below(random, 256);
  return bytes;
}

/** A number of one to four bytes: a special one, or one that could be a length of the rest. */
function writtenNumber(bytes: Buffer, place: number, random: Random): Buffer {
  const width = Math.min(1 + below(random, 4), bytes.length - place);
  const value =
    below(random, 2) === 0
      ? (interesting32[below(random, interesting32.length)] as number)
      : bytes.length - place - below(random, 12);
  const masked = width === 4 ? value >>> 0 : value & (2 ** (width * 8) - 1);
  bytes.writeUIntBE(masked, place, width);
  return bytes;
}
