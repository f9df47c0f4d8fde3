import { joinLast } from '@mesh/http/chunk-list';
import type {
  ClientHandler,
  Headers,
  ResetReason,
  ResponseHead,
  ServerStream,
  StreamHandler,
} from '@mesh/http/message';
import { codeOfReason, errorCode } from './error-codes.ts';
import type { Connection } from './connection.ts';
import type { Output } from './output.ts';

/** So many small chunks in a row are joined, so that a queue of crumbs costs no more than its bytes. */
const joinedChunks = 64;
const smallChunkBytes = 1024;

/** Holds the place of a handler until the listener returned one; remembers a reset that came before. */
class AbsentHandler implements ClientHandler {
  onInform(): void {}
  onResponse(): void {}
  onData(): void {}
  onEnd(): void {}
  onReset(): void {}
  onDrain(): void {}
}

const absentHandler = new AbsentHandler();

/** One exchange on a connection, in either role (RFC 9113 §5.1). */
export class Http2Stream implements ServerStream {
  readonly id: number;
  readonly #connection: Connection;
  handler: StreamHandler = absentHandler;
  /** Same object as `handler` on a client. */
  clientHandler: ClientHandler = absentHandler;

  /** END_STREAM was written to the output. */
  localEnd = false;
  /** END_STREAM arrived. */
  remoteEnd = false;
  /** Both halves are done, or the stream was reset: it is no longer in the connection's table. */
  dead = false;
  /** Why the connection ended the stream, while the handler cannot be told yet. */
  earlyReset: ResetReason | undefined;

  /** The final head went out (server) or arrived (client). */
  responded = false;
  /** 1xx heads that came. */
  informed = 0;
  /** A client's request whose response has no body whatever its head says. */
  isHead = false;
  /** An extended CONNECT (RFC 8441). */
  isUpgrade = false;
  /** A CONNECT, extended or not. */
  isTunnel = false;
  /** Announced body length still to arrive, or -1 for not announced. */
  bodyLeft = -1;
  /** Of its request's header list, counted while the stream is open. */
  headBytes = 0;
  /** When a client opened it, in whole monotonic milliseconds: a double would be an object. */
  openedAtMs = 0;
  /** Number of the flush that will carry, or carried, the request head. */
  openedInFlush = 0;

  sendWindow: number;
  /** What the peer may still send. */
  receiveWindow: number;
  /** Size of the receive window. */
  window: number;
  /** As soon as `returnable` reaches this, a WINDOW_UPDATE may be due. */
  updateAt: number;
  /** Bytes that the reader took since `measuredAt`, which is negative before the first measure. */
  taken = 0;
  measuredAt = -1;
  /** Bytes given back by the owner that the peer was not told of yet. */
  returnable = 0;
  /** Bytes delivered to the owner that did not come back yet. */
  owed = 0;

  // Send queue: #chunk from #offset on, then #rest from #next on. Most exchanges never need the list.
  #chunk: Buffer | undefined;
  #offset = 0;
  #rest: Buffer[] | undefined;
  #next = 0;
  #smallAtEnd = 0;
  queued = 0;
  /** `end` was called while bytes were queued. */
  endQueued = false;
  trailers: Headers | null = null;
  /** `write` returned false and no `onDrain` followed yet. */
  wantsDrain = false;
  /** Links and mark of the ring of streams that can send. */
  previousReady: Http2Stream | undefined;
  nextReady: Http2Stream | undefined;
  inRing = false;
  /** Stall check: bytes left since the last tick; ticks without. */
  progressed = false;
  idleTicks = 0;

  constructor(connection: Connection, id: number, sendWindow: number, receiveWindow: number) {
    this.#connection = connection;
    this.id = id;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
    this.window = receiveWindow;
    this.updateAt = connection.firstUpdateAt;
  }

  inform(head: ResponseHead): void {
    if (this.dead || this.responded) return;
    this.#connection.sendResponse(this, head.status, head.headers, false);
  }

  respond(head: ResponseHead, end: boolean): void {
    if (this.dead || this.responded) return;
    this.responded = true;
    // HTTP/2 confirms a tunnel with 200 where HTTP/1 says 101 (RFC 8441 §4).
    const status = head.status === 101 && this.isUpgrade ? 200 : head.status;
    this.#connection.sendResponse(this, status, head.headers, end);
  }

  write(chunk: Buffer): boolean {
    if (this.dead || this.localEnd || this.endQueued || chunk.length === 0) return !this.wantsDrain;
    if (this.#chunk === undefined) this.#chunk = chunk;
    else this.#pushRest(chunk);
    const before = this.queued;
    this.queued = before + chunk.length;
    this.#connection.dataQueued(this, before === 0);
    if (this.queued < this.#connection.writeHighWater) return true;
    this.wantsDrain = true;
    return false;
  }

  end(trailers: Headers | null): void {
    if (this.dead || this.localEnd || this.endQueued) return;
    if (this.queued === 0) {
      this.#connection.sendEnd(this, trailers);
      return;
    }
    this.endQueued = true;
    this.trailers = trailers;
  }

  consume(bytes: number): void {
    const given = Math.min(bytes, this.owed);
    if (given <= 0) return;
    this.owed -= given;
    this.#connection.consumed(this, given);
  }

  reset(reason: ResetReason): void {
    if (this.dead) {
      this.earlyReset = undefined;
      this.#connection.settle(this);
      return;
    }
    // A server that said everything tells the client to stop sending, not that something failed (§8.1).
    const served = this.clientHandler === absentHandler;
    const complete = served && this.localEnd && this.responded;
    if (reason === 'cancel' && complete) this.#connection.resetStream(this, errorCode.noError);
    // The connection that the tunnel leads to broke (§8.5).
    else if (reason === 'closed' && this.isTunnel) this.#connection.resetStream(this, errorCode.connectError);
    else this.#connection.resetStream(this, codeOfReason(reason));
  }

  /** Moves the first `bytes` of the queue to `output`. */
  takeInto(output: Output, bytes: number): void {
    let left = bytes;
    while (left > 0 && this.#chunk !== undefined) {
      const chunk = this.#chunk;
      const take = Math.min(left, chunk.length - this.#offset);
      output.append(chunk, this.#offset, this.#offset + take);
      left -= take;
      this.#offset += take;
      if (this.#offset === chunk.length) this.#nextChunk();
    }
    this.queued -= bytes;
  }

  #pushRest(chunk: Buffer): void {
    this.#rest ??= [];
    this.#rest.push(chunk);
    this.#smallAtEnd = chunk.length <= smallChunkBytes ? this.#smallAtEnd + 1 : 0;
    if (this.#smallAtEnd < joinedChunks) return;
    joinLast(this.#rest, joinedChunks, this.#next);
    this.#smallAtEnd = 0;
  }

  #nextChunk(): void {
    this.#offset = 0;
    this.#chunk = this.#rest?.[this.#next];
    if (this.#rest === undefined) return;
    this.#next += 1;
    this.#smallAtEnd = Math.min(this.#smallAtEnd, this.#rest.length - this.#next);
    if (this.#next >= this.#rest.length) {
      this.#rest = undefined;
      this.#smallAtEnd = 0;
      this.#next = 0;
    } else if (this.#next > 64) {
      this.#rest.splice(0, this.#next);
      this.#next = 0;
    }
  }

  /** Forgets what is queued. */
  dropQueue(): void {
    this.#chunk = undefined;
    this.#rest = undefined;
    this.#next = 0;
    this.#smallAtEnd = 0;
    this.#offset = 0;
    this.queued = 0;
    this.wantsDrain = false;
  }
}

export function hasHandler(stream: Http2Stream): boolean {
  return stream.handler !== absentHandler;
}
