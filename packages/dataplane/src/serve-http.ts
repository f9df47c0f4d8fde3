/** Serves HTTP on a socket whose protocol is known, under the program's drain, an age and the expiry of certificates. */
import type { Socket } from 'node:net';
import type { Clock, Timer } from '@mesh/clock/clock';
import type {
  RequestHead,
  RequestListener,
  ServerConnection,
  ServerStream,
  StreamHandler,
} from '@mesh/http/message';
import { serveHttp1 } from '@mesh/http1/server';
import { serveHttp2 } from '@mesh/http2/server';
import type { LimitLedger } from '@mesh/limits/limits';
import { isReset, resetUnseen, setUserTimeout } from '@mesh/transport/socket-options';
import type { Drain } from './drain.ts';
import { endAtExpiry } from './http-expiry.ts';
import type { DataplaneLimit } from './limits.ts';
import type { Codecs } from './peer.ts';

export interface ServeHttpOptions {
  clock: Clock;
  codecs: Codecs;
  limits: LimitLedger<DataplaneLimit>;
  drain: Drain;
  /** After this the connection is drained and the client opens another; Infinity for connections of applications. */
  maxAgeMs: number;
  /** When the first certificate expires that proved an end of it, wall-clock milliseconds: then it is cut. Infinity where none did. */
  until: number;
  /** TCP_USER_TIMEOUT of an HTTP/2 connection of another proxy, ms; 0 for other clients, which need not read. */
  userTimeoutMs: number;
}

/** `listener.onClose` is called once the connection is gone. */
export function serveHttp(
  socket: Socket,
  version: 'http1' | 'http2',
  listener: RequestListener,
  options: ServeHttpOptions,
): ServerConnection {
  const { clock, codecs, drain, limits, maxAgeMs, until, userTimeoutMs } = options;
  const tracked = new TrackedListener(listener, drain);
  const connection =
    version === 'http1'
      ? serveHttp1(socket, tracked, { clock, limits: codecs.http1Limits, isReset, resetUnseen })
      : serveHttp2(socket, tracked, {
          clock,
          limits: codecs.http2Limits,
          windowBudget: codecs.windowBudget,
        });
  if (tracked.closed) return connection;
  if (version === 'http2' && userTimeoutMs > 0) setUserTimeout(socket, userTimeoutMs);
  if (Number.isFinite(maxAgeMs)) {
    const onAged = (): void => {
      limits.hit('connection_age_ms');
      connection.drain();
    };
    tracked.age = clock.after(Math.max(0, maxAgeMs), onAged, true);
  }
  if (Number.isFinite(until)) tracked.expiry = endAtExpiry(connection, until, { clock, limits });
  tracked.connection = connection;
  drain.add(connection);
  return connection;
}

class TrackedListener implements RequestListener {
  readonly #listener: RequestListener;
  readonly #drain: Drain;
  /** The connection may be gone before it is known here. */
  closed = false;
  connection: ServerConnection | undefined = undefined;
  /** Until its age is reached. */
  age: Timer | undefined = undefined;
  expiry: Timer | undefined = undefined;

  constructor(listener: RequestListener, drain: Drain) {
    this.#listener = listener;
    this.#drain = drain;
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamHandler {
    return this.#listener.onRequest(stream, head, end);
  }

  onClose(): void {
    this.closed = true;
    this.age?.cancel();
    this.expiry?.cancel();
    if (this.connection !== undefined) this.#drain.remove(this.connection);
    this.#listener.onClose();
  }
}
