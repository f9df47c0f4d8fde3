import { errorCode } from './error-codes.ts';
import { maxWindow, readUint32 } from './frames.ts';

/** RFC 9113 §6.5.2 and RFC 8441 §3. */
export const settingId = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
  enableConnectProtocol: 0x8,
} as const;

/** What the peer told us, in its own words' defaults. */
export class PeerSettings {
  headerTableSize = 4096;
  enablePush = 1;
  maxConcurrentStreams: number = maxWindow;
  initialWindowSize = 65_535;
  maxFrameSize = 16_384;
  maxHeaderListSize: number = maxWindow;
  enableConnectProtocol = 0;

  /**
   * Applies the payload of a SETTINGS frame, in order; unknown settings are ignored.
   * @returns an error code for the connection, `noError` when all is well
   */
  apply(source: Buffer, start: number, end: number): number {
    for (let at = start; at < end; at += 6) {
      const value = readUint32(source, at + 2);
      switch (((source[at] as number) << 8) | (source[at + 1] as number)) {
        case settingId.headerTableSize:
          this.headerTableSize = value;
          break;
        case settingId.enablePush:
          if (value > 1) return errorCode.protocolError;
          this.enablePush = value;
          break;
        case settingId.maxConcurrentStreams:
          this.maxConcurrentStreams = value;
          break;
        case settingId.initialWindowSize:
          if (value > maxWindow) return errorCode.flowControlError;
          this.initialWindowSize = value;
          break;
        case settingId.maxFrameSize:
          if (value < 16_384 || value > 16_777_215) return errorCode.protocolError;
          this.maxFrameSize = value;
          break;
        case settingId.maxHeaderListSize:
          this.maxHeaderListSize = value;
          break;
        case settingId.enableConnectProtocol:
          // Once allowed it stays allowed (RFC 8441 §3).
          if (value > 1 || value < this.enableConnectProtocol) return errorCode.protocolError;
          this.enableConnectProtocol = value;
          break;
        default:
      }
    }
    return errorCode.noError;
  }
}
