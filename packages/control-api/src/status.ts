/** gRPC status codes, their transport in `grpc-status` and `grpc-message`, and the mapping from HTTP. */
import type { ResetReason } from '@mesh/http/message';

/** https://grpc.github.io/grpc/core/md_doc_statuscodes.html */
export const grpcCode = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

export type GrpcCode = (typeof grpcCode)[keyof typeof grpcCode];

export interface GrpcStatus {
  readonly code: GrpcCode;
  /** For people; empty for none. */
  readonly message: string;
}

export const okStatus: GrpcStatus = { code: grpcCode.ok, message: '' };

const names: readonly string[] = Object.keys(grpcCode);

/** `notFound` for 5. */
export function grpcCodeName(code: GrpcCode): string {
  return names[code] ?? 'unknown';
}

/** A call that ended with another status than OK. */
export class GrpcError extends Error {
  readonly code: GrpcCode;

  constructor(code: GrpcCode, message: string) {
    super(message);
    this.name = 'GrpcError';
    this.code = code;
  }

  get status(): GrpcStatus {
    return { code: this.code, message: this.message };
  }
}

/** The status that a thrown value ends a call with. Text of foreign errors stays here: it may name internals. */
export function statusOf(thrown: unknown): GrpcStatus {
  if (thrown instanceof GrpcError) return thrown.status;
  return { code: grpcCode.internal, message: 'internal error' };
}

/** Value of `grpc-status`; anything that is no known code is unknown. */
export function parseGrpcCode(text: string): GrpcCode {
  const code = /^\d{1,2}$/.test(text) ? Number(text) : grpcCode.unknown;
  return code <= 16 ? (code as GrpcCode) : grpcCode.unknown;
}

/** `grpc-message`: UTF-8 bytes outside 0x20 to 0x7E, and `%`, as %XX (gRPC over HTTP/2, Percent-Encoded). */
export function encodeGrpcMessage(message: string): string {
  let encoded = '';
  for (const byte of Buffer.from(message, 'utf8')) {
    if (byte >= 0x20 && byte <= 0x7e && byte !== 0x25) encoded += String.fromCharCode(byte);
    else encoded += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  // Header values carry no surrounding white space.
  return encoded.replace(/^ +| +$/g, (spaces) => '%20'.repeat(spaces.length));
}

/** Inverse of `encodeGrpcMessage`; a broken escape is kept as it is, as the gRPC specification asks. */
export function decodeGrpcMessage(text: string): string {
  const bytes: number[] = [];
  for (let index = 0; index < text.length; index++) {
    const hex = text[index] === '%' ? text.slice(index + 1, index + 3) : '';
    if (/^[0-9a-fA-F]{2}$/.test(hex)) {
      bytes.push(Number.parseInt(hex, 16));
      index += 2;
    } else {
      bytes.push(text.charCodeAt(index) & 0xff);
    }
  }
  return Buffer.from(bytes).toString('utf8');
}

/** For responses without `grpc-status`: https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md */
export function statusOfHttp(status: number): GrpcStatus {
  const message = `HTTP status ${status} without a gRPC status`;
  if (status === 400) return { code: grpcCode.internal, message };
  if (status === 401) return { code: grpcCode.unauthenticated, message };
  if (status === 403) return { code: grpcCode.permissionDenied, message };
  if (status === 404) return { code: grpcCode.unimplemented, message };
  if (status === 429 || status === 502 || status === 503 || status === 504) {
    return { code: grpcCode.unavailable, message };
  }
  return { code: grpcCode.unknown, message };
}

const resetCodes: Readonly<Record<ResetReason, GrpcCode>> = {
  refused: grpcCode.unavailable,
  cancel: grpcCode.cancelled,
  closed: grpcCode.unavailable,
  timeout: grpcCode.deadlineExceeded,
  protocol: grpcCode.internal,
  complaint: grpcCode.internal,
  calm: grpcCode.resourceExhausted,
  http11: grpcCode.internal,
  internal: grpcCode.internal,
};

export function statusOfReset(reason: ResetReason): GrpcStatus {
  return { code: resetCodes[reason], message: `the stream was reset: ${reason}` };
}
