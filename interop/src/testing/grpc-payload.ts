/** Messages of the gRPC cases: a short instruction as JSON, and bytes that nobody looks into. */

export interface Instruction {
  /** Sizes of the answers that are wanted, bytes each. */
  readonly answers?: readonly number[];
  /** Status to end with. */
  readonly status?: { readonly code: number; readonly details: string };
}

export interface Payload {
  readonly instruction: Instruction;
  readonly body: Buffer;
}

export const payloadOf = (instruction: Instruction, bytes = 0): Payload => ({
  instruction,
  body: Buffer.alloc(bytes, 'x'),
});

/** Length of the JSON in 4 bytes, the JSON, the body. An empty message is an empty payload. */
export function encodePayload({ instruction, body }: Payload): Buffer {
  const json = Buffer.from(JSON.stringify(instruction));
  if (json.length === 2 && body.length === 0) return Buffer.alloc(0);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json, body]);
}

export function decodePayload(bytes: Buffer): Payload {
  if (bytes.length === 0) return payloadOf({});
  const end = 4 + bytes.readUInt32BE(0);
  return {
    instruction: JSON.parse(bytes.toString('utf8', 4, end)) as Instruction,
    body: bytes.subarray(end),
  };
}
