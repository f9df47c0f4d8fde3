import type { ResetReason } from '@mesh/http/message';

/** RFC 9113 §7. */
export const errorCode = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  connectError: 0xa,
  enhanceYourCalm: 0xb,
  inadequateSecurity: 0xc,
  http11Required: 0xd,
} as const;

/** What the code of a received RST_STREAM means to the owner of the exchange. */
export function reasonOfCode(code: number): ResetReason {
  switch (code) {
    case errorCode.noError:
    case errorCode.cancel:
      return 'cancel';
    case errorCode.refusedStream:
      return 'refused';
    case errorCode.enhanceYourCalm:
      return 'calm';
    case errorCode.http11Required:
      return 'http11';
    case errorCode.connectError:
      return 'closed';
    case errorCode.settingsTimeout:
    case errorCode.protocolError:
    case errorCode.flowControlError:
    case errorCode.streamClosed:
    case errorCode.frameSizeError:
    case errorCode.compressionError:
      return 'complaint';
    default:
      return 'internal';
  }
}

const codes: Readonly<Record<ResetReason, number>> = {
  refused: errorCode.refusedStream,
  cancel: errorCode.cancel,
  closed: errorCode.internalError,
  timeout: errorCode.cancel,
  protocol: errorCode.protocolError,
  complaint: errorCode.protocolError,
  calm: errorCode.enhanceYourCalm,
  http11: errorCode.http11Required,
  internal: errorCode.internalError,
};

/** The code that tells the peer why we end a stream. */
export function codeOfReason(reason: ResetReason): number {
  return codes[reason];
}
