/**
 * The one message shape that HTTP/1 and HTTP/2 share from codec to balancer, and for a router and tap to come.
 *
 * An exchange is two half-streams. Codecs push events into a handler object that the owner supplied; the owner
 * calls methods on the stream. There is no promise, event emitter or closure per request (docs/decisions/0001): one object
 * that implements a handler interface serves a whole exchange.
 *
 * Flow control is by credit in both directions (docs/flow-control.md): every byte given to `onData` must be given
 * back with `consume` once it left towards its destination, and `write` returns false when the peer or the socket
 * is slower than us, until `onDrain`.
 */

/**
 * Header fields as a flat list: name0, value0, name1, value1, …
 * Names are lower case; values are latin1 without CR, LF, NUL or surrounding white space. Pseudo headers, `host`,
 * `transfer-encoding` and connection-specific fields never appear here: codecs translate them.
 * `content-length` does, and agrees with the body.
 */
export type Headers = string[];

export type HttpVersion = 10 | 11 | 20;

export interface RequestHead {
  method: string;
  /** `http` or `https`; what the client claimed, empty when it did not (HTTP/1 origin-form). */
  scheme: string;
  /** host[:port] from `:authority`, the absolute-form target or `Host`; empty when there is none (HTTP/1.0). */
  authority: string;
  /** Origin-form path with query; `*` for an OPTIONS on the server; empty for CONNECT. */
  path: string;
  headers: Headers;
  /**
   * Token of an HTTP/1 `Upgrade` or of an HTTP/2 extended CONNECT (RFC 8441), lower case; empty for none.
   * After a 101 (HTTP/1) or 2xx (HTTP/2) response both half-streams carry tunnel bytes.
   */
  upgrade: string;
  version: HttpVersion;
}

export interface ResponseHead {
  /** 100 to 599. */
  status: number;
  headers: Headers;
  /** True: the last response on its connection, where the client speaks HTTP/1. */
  closes?: boolean;
}

/**
 * Why an exchange ended before both halves were complete.
 * - `refused`: the peer provably did not process the request (RST_STREAM REFUSED_STREAM, GOAWAY above the last
 *   stream id, connection lost before any byte of the request was written), or it may be repeated and met the end of
 *   a connection that was idle. Safe to retry.
 * - `cancel`: the other side lost interest. - `closed`: the connection ended. - `timeout`: a limit of ours.
 * - `protocol`: the peer broke the protocol. - `complaint`: it says that we did (PROTOCOL_ERROR and its kin).
 * - `calm`: the peer was too greedy (ENHANCE_YOUR_CALM).
 * - `http11`: the peer wants HTTP/1.1 (HTTP_1_1_REQUIRED). - `internal`: our fault or anything else.
 */
export type ResetReason =
  | 'refused'
  | 'cancel'
  | 'closed'
  | 'timeout'
  | 'protocol'
  | 'complaint'
  | 'calm'
  | 'http11'
  | 'internal';

/** What an owner does with one exchange. After `end` and `onEnd`, or `reset`/`onReset`, the stream is dead. */
export interface MessageStream {
  /** Sends body bytes; the buffer belongs to the codec from here on. False: stop until `onDrain`. */
  write(chunk: Buffer): boolean;
  /** Ends our half. `trailers` is null for none; HTTP/1 sends them only on a chunked body, else they are dropped. */
  end(trailers: Headers | null): void;
  /** Gives back credit for `bytes` of body that were received and have left towards their destination. */
  consume(bytes: number): void;
  /** Ends both halves at once. The handler gets no further call. */
  reset(reason: ResetReason): void;
}

/** What a codec tells the owner of an exchange. */
export interface StreamHandler {
  onData(chunk: Buffer): void;
  /** The peer's half is complete. */
  onEnd(trailers: Headers | null): void;
  /** Both halves are dead. The last call. */
  onReset(reason: ResetReason): void;
  /** After `write` returned false: there is room again. */
  onDrain(): void;
}

/** An exchange seen from the server: send a response. */
export interface ServerStream extends MessageStream {
  /** 1xx; may be called several times before `respond`. */
  inform(head: ResponseHead): void;
  /** Final head; `end` says that no body and no trailers follow. Call once. */
  respond(head: ResponseHead, end: boolean): void;
}

/** An exchange seen from the client. */
export type ClientStream = MessageStream;

export interface ClientHandler extends StreamHandler {
  onInform(head: ResponseHead): void;
  /** Final head; `end` says that no body and no trailers follow, and `onEnd` will not be called. */
  onResponse(head: ResponseHead, end: boolean): void;
}

/** Supplied by who serves requests on a connection. */
export interface RequestListener {
  /**
   * A request head arrived; `end` says that no body and no trailers follow, and `onEnd` will not be called.
   * Returns who handles the rest of the exchange. `stream` may be answered before this returns.
   */
  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamHandler;
  /** The connection is gone; all its streams were reset before. */
  onClose(): void;
}

/** A served connection. */
export interface ServerConnection {
  readonly activeStreams: number;
  /** Who handles each exchange that is open now. */
  handlers(): StreamHandler[];
  /** Graceful end: GOAWAY twice (HTTP/2) or `connection: close` (HTTP/1), then close after the last stream. */
  drain(): void;
  destroy(): void;
}

/** A connection that requests can be sent on. */
export interface ClientConnection {
  /** False once closed, drained by the peer, or broken: take another one. */
  readonly usable: boolean;
  /** Requests that can be started now; 0 when the peer's stream limit is reached. */
  readonly capacity: number;
  readonly activeStreams: number;
  /**
   * Starts a request. Call only while `usable` and `capacity > 0`. Handler calls never happen before this returns.
   */
  request(head: RequestHead, end: boolean, handler: ClientHandler): ClientStream;
  /** Stops new requests and closes after the last one. */
  drain(): void;
  destroy(): void;
  /** Set by the owner; called when `usable` or `capacity` changed, and once when the connection is gone. */
  onChange: () => void;
}
