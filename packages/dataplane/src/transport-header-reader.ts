/** Reads the transport header off a connection; what follows it stays in the socket. */
import type { Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import { readFirstBytes, type Undecided } from './first-bytes.ts';
import {
  decodeTransportHeader,
  type TransportHeader,
  type TransportHeaderFault,
  type TransportHeaderResult,
} from '@mesh/transport/transport-header';

export interface ReadTransportHeaderOptions {
  clock: Clock;
  timeoutMs: number;
  done: (header: TransportHeader | { readonly fault: HeaderFault }) => void;
}

/** Why there is no header. */
export type HeaderFault = Undecided | TransportHeaderFault;

export function readTransportHeader(
  socket: Socket,
  { clock, timeoutMs, done }: ReadTransportHeaderOptions,
): void {
  readFirstBytes<Exclude<TransportHeaderResult, { kind: 'need-more' }>>(socket, {
    clock,
    timeoutMs,
    judge: (bytes) => {
      const result = decodeTransportHeader(bytes);
      return result.kind === 'need-more' ? undefined : result;
    },
    done: (result) => {
      if (typeof result === 'string') done({ fault: result });
      else if (result.kind === 'fault') done({ fault: result.fault });
      else {
        // All of it is in the buffer: it was put back a moment ago.
        socket.read(result.length);
        done(result.header);
      }
    },
  });
}
