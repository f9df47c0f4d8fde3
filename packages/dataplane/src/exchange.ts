/**
 * One request on its way through: from the client's stream to an endpoint and back.
 *
 * The exchange owns the client side; an `Attempt` owns one try at an endpoint. Bytes are passed on by credit
 * (docs/flow-control.md) and nothing is buffered but what a retry needs. A request is sent again only when it
 * provably was not processed: no connection could be made, or the endpoint refused the stream; or when it is safe and
 * met the end of an idle HTTP/1 connection.
 */
import type { Member } from '@mesh/balance/member';
import type { RetryBudget } from '@mesh/balance/retry-budget';
import type { Clock, Timer } from '@mesh/clock/clock';
import { asksTunnel } from '@mesh/http/canonical';
import { ChunkList } from '@mesh/http/chunk-list';
import { getHeader, removeHeader } from '@mesh/http/headers';
import type {
  ClientStream,
  Headers,
  RequestHead,
  ResetReason,
  ResponseHead,
  ServerStream,
  StreamHandler,
} from '@mesh/http/message';
import {
  isGrpc,
  syntheticCauses,
  type SyntheticReason,
  syntheticResponse,
  syntheticTrailers,
} from '@mesh/http/synthetic';
import type { LimitLedger } from '@mesh/limits/limits';
import type { Counter } from '@mesh/telemetry/metrics';
import { Attempt } from './attempt.ts';
import type { Endpoint } from './endpoint.ts';
import type { EndpointPool, PoolWaiter } from './endpoint-pool.ts';
import { type HttpCells, noGrpcStatus } from './http-metrics.ts';
import { origProtoHeader, origProtoOf, upgraded } from './l5d-headers.ts';
import type { Lane } from './lane.ts';
import type { DataplaneLimit } from './limits.ts';
import type { OpenBody } from './slow-bodies.ts';

/** Pause before a request goes again to the endpoint that refused it, times the refusals so far. */
const sameEndpointPauseMs = 50;

/** Ends of an attempt that have an answer of their own; others are passed on where the client speaks HTTP/2. */
const abortCauses: Partial<Record<ResetReason, readonly [SyntheticReason, string]>> = {
  closed: ['endpoint-failed', 'closed the connection before its answer was complete'],
  timeout: ['endpoint-failed', 'stopped reading in the middle of the request'],
  protocol: ['endpoint-protocol', 'broke the protocol'],
};

/** In words, for clients that speak no HTTP/2. */
const endedTexts: Partial<Record<ResetReason, string>> = {
  complaint: 'says that the request breaks the protocol',
  http11: 'wants HTTP/1.1',
};

/** What all requests of one connection to one destination have in common. */
export interface ForwardContext {
  readonly clock: Clock;
  readonly pool: EndpointPool;
  readonly budget: RetryBudget;
  readonly limits: LimitLedger<DataplaneLimit>;
  /** Who answers when no endpoint does; empty where the client may not learn why. */
  readonly proxyName: string;
  /**
   * The client is a proxy on HTTP/2: a request that reached no endpoint is refused (REFUSED_STREAM), which it may send
   * elsewhere, instead of being held or answered with an error.
   */
  readonly refuseUnsent: boolean;
  /** Cells of requests that reached no endpoint, and with `countBy: 'client'` of all. */
  readonly cells: HttpCells;
  readonly countBy: 'endpoint' | 'client';
  readonly retries: Counter;
  readonly retriesDenied: Counter;
}

export class Exchange implements StreamHandler, PoolWaiter, OpenBody {
  readonly context: ForwardContext;
  readonly head: RequestHead;
  readonly grpc: boolean;
  /** When the head was seen, by the context's clock. */
  readonly startedAt: number;
  place = -1;
  readonly #stream: ServerStream;
  /** Authority the client asked for; `head.authority` is what the current attempt asks for. */
  readonly #authority: string;
  /** `l5d-orig-proto` of the response; empty for none. */
  readonly #restored: string;
  #attempt: Attempt | undefined;
  /** False once the body is too long to be kept or an answer has begun. */
  #replayable = true;
  /** Body so far, for sending it again. */
  #body: ChunkList | undefined;
  #bodyBytes = 0;
  /** Bytes from the client whose credit was not given back yet. */
  #owed = 0;
  #requestEnded: boolean;
  #trailers: Headers | null = null;
  #carried = false;
  #waiting = false;
  #responded = false;
  /** The response made it a tunnel, whose halves end one by one. */
  #tunnel = false;
  #done = false;
  #refused = 0;
  /** Runs while the response is complete and the request is not. */
  #untilDiscard: Timer | undefined;

  /** `restored`: the response tells the client's proxy to restore this HTTP version; empty for none. */
  constructor(
    context: ForwardContext,
    {
      stream,
      head,
      end,
      restored,
    }: { stream: ServerStream; head: RequestHead; end: boolean; restored: string },
  ) {
    this.context = context;
    this.#stream = stream;
    this.head = head;
    this.#authority = head.authority;
    this.#requestEnded = end;
    this.#restored = restored;
    this.grpc = head.method === 'POST' && isGrpc(head);
    this.startedAt = context.clock.now();
  }

  /** Call once. */
  start(): void {
    const now = this.startedAt;
    const { budget, cells, countBy, pool } = this.context;
    budget.deposit(now);
    if (countBy === 'client') cells.requested();
    if (pool.admits()) {
      if (!this.#requestEnded && !asksTunnel(this.head)) pool.bodies.follow(this);
      this.#dispatch(undefined, now);
    } else this.fail('overloaded', `too many requests to ${pool.name} are in flight`);
  }

  // Client side.

  onData(chunk: Buffer): void {
    const { length } = chunk;
    if (this.#done) {
      this.#stream.consume(length);
      return;
    }
    const upstream = this.#attempt?.stream;
    this.#bodyBytes += length;
    if (this.#replayable) {
      if (upstream === undefined || this.#bodyBytes <= this.context.limits.values.replay_bytes) {
        this.#body ??= new ChunkList();
        this.#body.add(chunk);
      } else {
        this.#outgrowReplay();
      }
    }
    // Not connected yet: the credit that is held back bounds what the client can send.
    if (upstream !== undefined && upstream.write(chunk)) this.#stream.consume(length);
    else this.#owed += length;
  }

  onEnd(trailers: Headers | null): void {
    if (this.#done) return;
    this.#requestEnded = true;
    this.#untilDiscard?.cancel();
    this.context.pool.bodies.forget(this);
    this.#trailers = trailers;
    this.#attempt?.stream?.end(trailers);
  }

  onDrain(): void {
    this.#attempt?.clientDrained();
  }

  onReset(): void {
    this.#stopWaiting();
    const wasDone = this.#done;
    this.#done = true;
    this.#untilDiscard?.cancel();
    this.context.pool.bodies.forget(this);
    this.#forgetBody();
    if (this.#attempt !== undefined) this.#attempt.cancel();
    else if (!wasDone) this.countUnsent('cancel');
  }

  // Pool side.

  get bodyBytes(): number {
    return this.#bodyBytes;
  }

  get heldBack(): boolean {
    return this.#owed > 0 || this.#attempt?.stream === undefined;
  }

  get lane(): Lane | undefined {
    return this.#attempt?.lane;
  }

  endSlow(): void {
    this.#attempt?.overrule(syntheticCauses['slow-body'].status);
    this.#attempt = undefined;
    this.#answer('slow-body', 'the request brings its body too slowly while others wait');
  }

  onEndpointsReady(): void {
    this.#waiting = false;
    if (!this.#done) this.#dispatch(undefined, this.context.clock.now());
  }

  onEndpointsFailed(reason: SyntheticReason, detail: string): void {
    this.#waiting = false;
    this.fail(reason, detail);
  }

  // Attempt side.

  /** The head to send on `lane`. One object serves all attempts: codecs read it before `request` returns. */
  headFor(endpoint: Endpoint, lane: Lane): RequestHead {
    const { head } = this;
    const { authorityOverride } = endpoint.spec;
    head.authority = authorityOverride === '' ? this.#authority : authorityOverride;
    const carry = head.version !== 20 && lane === endpoint.peer.h2;
    if (carry && !this.#carried) head.headers.push(origProtoHeader, origProtoOf(head));
    else if (!carry && this.#carried) removeHeader(head.headers, origProtoHeader);
    this.#carried = carry;
    return head;
  }

  /** Whether the request is complete without a body, so that its head can end it. */
  get bodiless(): boolean {
    return this.#requestEnded && this.#bodyBytes === 0 && this.#trailers === null;
  }

  /** The attempt has a stream: what came so far goes out. */
  onAttached(upstream: ClientStream, headEnded: boolean): void {
    if (headEnded) return;
    let flowing = true;
    if (this.#body !== undefined) {
      for (const chunk of this.#body) flowing = upstream.write(chunk);
      if (this.#bodyBytes > this.context.limits.values.replay_bytes) this.#outgrowReplay();
    }
    if (this.#requestEnded) upstream.end(this.#trailers);
    if (flowing) this.repay();
  }

  /** The endpoint takes more: the client may send on. */
  repay(): void {
    const owed = this.#owed;
    if (owed === 0) return;
    this.#owed = 0;
    this.#stream.consume(owed);
  }

  inform(head: ResponseHead): void {
    if (!this.#done) this.#stream.inform(head);
  }

  respond(head: ResponseHead, end: boolean): void {
    if (!this.#requestEnded) this.context.pool.bodies.forget(this);
    this.#forgetBody();
    this.#responded = true;
    if (this.#carried) {
      if (this.head.upgrade !== '' && getHeader(head.headers, origProtoHeader) === upgraded)
        head.status = 101;
      removeHeader(head.headers, origProtoHeader);
    }
    if (this.#restored !== '') {
      head.headers.push(origProtoHeader, head.status === 101 ? upgraded : this.#restored);
    }
    this.#tunnel = asksTunnel(this.head) && head.status < 300;
    this.#stream.respond(head, end);
    if (end) this.#answered();
  }

  /** False: stop until the client drained. */
  write(chunk: Buffer): boolean {
    return this.#stream.write(chunk);
  }

  end(trailers: Headers | null): void {
    this.#stream.end(trailers);
    this.#answered();
  }

  /** The endpoint wants no more of the request, whose response is complete: the rest is dropped. */
  discardRest(): void {
    this.#untilDiscard?.cancel();
    this.#attempt = undefined;
    this.#done = true;
    this.repay();
    // What goes into a tunnel is no rest: its client has to hear that it arrives nowhere.
    if (this.#tunnel && !this.#requestEnded) this.#stream.reset('closed');
  }

  /** Nothing was sent: the connection could not be made. Costs the endpoint nothing, so no budget is asked. */
  retryUnsent(member: Member<Endpoint>, reason: SyntheticReason, detail: string): void {
    this.#attempt = undefined;
    if (this.#done) return;
    const now = this.context.clock.now();
    const late = now - this.startedAt >= this.context.pool.failfastMs;
    if (late || !this.#replayable) {
      this.fail(reason, detail);
      return;
    }
    this.context.retries.value++;
    this.#dispatch(member, now);
  }

  /** The endpoint refused the stream unprocessed. */
  retryRefused(member: Member<Endpoint>): void {
    this.#attempt = undefined;
    if (this.#done) return;
    const { budget, cells, clock, countBy, limits, pool, refuseUnsent, retries, retriesDenied } =
      this.context;
    if (refuseUnsent) {
      // Of all proxies on the way only the first tries again, or each would multiply what the one before it sends.
      if (countBy === 'client') cells.ended(0, noGrpcStatus, 'refused');
      this.#giveUp('endpoint-failed', `${member.key} refused the request`);
      return;
    }
    const spent = ++this.#refused >= limits.values.refused_tries;
    if (spent) limits.hit('refused_tries');
    const repeatable = this.#replayable && !spent;
    if (!repeatable || !budget.withdraw()) {
      if (repeatable) retriesDenied.value++;
      if (countBy === 'client') cells.ended(0, noGrpcStatus, 'refused');
      this.#giveUp('endpoint-failed', `${member.key} refused the request`);
      return;
    }
    retries.value++;
    const now = clock.now();
    const next = pool.pick(member, now);
    if (next !== member) this.#send(next, now);
    else {
      // There is no other: what refused may be just starting or just ending, so it gets a moment.
      clock.after(sameEndpointPauseMs * this.#refused, () => {
        if (!this.#done) this.#dispatch(undefined, clock.now());
      });
    }
  }

  /** The attempt ended in a way that cannot be retried. */
  abort(reason: ResetReason, endpoint: Endpoint): void {
    this.#attempt = undefined;
    if (this.#done) return;
    const cause = abortCauses[reason];
    if (cause === undefined && this.head.version === 20) {
      // HTTP/2 on both sides: the client gets the code that the endpoint gave.
      this.#finish();
      this.#stream.reset(reason);
      return;
    }
    const [synthetic, text] = cause ?? [
      'endpoint-failed',
      endedTexts[reason] ?? `ended the request: ${reason}`,
    ];
    this.#breakOff(synthetic, `${endpoint.spec.key} ${text}`, reason);
  }

  // Owner side.

  /** What the client asked for, whatever the endpoint is asked for. */
  get authority(): string {
    return this.#authority;
  }

  /** The client may no longer do what it asked for: what is under way ends. */
  revoke(answer: SyntheticReason, detail: string): void {
    if (this.#done) return;
    this.#stopWaiting();
    this.#untilDiscard?.cancel();
    if (this.#attempt === undefined) this.countUnsent('proxy', answer);
    else this.#attempt.cancel();
    this.#attempt = undefined;
    this.#breakOff(answer, detail, 'cancel');
  }

  /** A request that reached no endpoint has ended. */
  countUnsent(fault: 'cancel' | 'proxy', reason?: SyntheticReason): void {
    const { cells, countBy } = this.context;
    if (countBy === 'endpoint') cells.requested();
    cells.ended(reason === undefined ? 0 : syntheticCauses[reason].status, noGrpcStatus, fault);
  }

  /** Answers a request that reached no endpoint. */
  fail(reason: SyntheticReason, detail: string): void {
    if (this.#done) return;
    this.countUnsent('proxy', reason);
    this.#attempt = undefined;
    this.#giveUp(reason, detail);
  }

  /** Ends a request that nobody processed. */
  #giveUp(reason: SyntheticReason, detail: string): void {
    if (this.context.refuseUnsent) {
      this.#finish();
      this.#stream.reset('refused');
    } else {
      this.#answer(reason, detail);
    }
  }

  #answer(reason: SyntheticReason, detail: string): void {
    const response = syntheticResponse(reason, {
      grpc: this.grpc,
      by: this.context.proxyName,
      message: detail,
    });
    if (this.#restored !== '') response.headers.push(origProtoHeader, this.#restored);
    this.#finish();
    this.#stream.respond(response, true);
  }

  #stopWaiting(): void {
    if (this.#waiting) this.context.pool.withdraw(this);
    this.#waiting = false;
  }

  /** Ends the client's stream in the middle, with an answer where none has begun. */
  #breakOff(cause: SyntheticReason, message: string, reason: ResetReason): void {
    if (!this.#responded) {
      this.#answer(cause, message);
      return;
    }
    this.#finish();
    if (this.grpc) this.#stream.end(syntheticTrailers(cause, { by: this.context.proxyName, message }));
    else this.#stream.reset(reason);
  }

  #dispatch(avoid: Member<Endpoint> | undefined, now: number): void {
    this.#send(this.context.pool.pick(avoid, now), now);
  }

  #send(member: Member<Endpoint> | undefined, now: number): void {
    if (member === undefined) {
      const { pool, refuseUnsent } = this.context;
      if (refuseUnsent && pool.state !== 'unknown') {
        // The client's proxy may know another endpoint, so it is told at once.
        this.fail('endpoint-failed', `no endpoint of ${pool.name} can be reached`);
        return;
      }
      this.#waiting = true;
      pool.wait(this);
      return;
    }
    this.#attempt = new Attempt(this, member, now);
    this.#attempt.submit();
  }

  /** The response is complete. A body that goes on is of little use, while others may need the connection that it takes. */
  #answered(): void {
    if (this.#requestEnded || this.#done || this.#tunnel) return;
    const { clock, limits } = this.context;
    const discard = (): void => {
      limits.hit('answered_body_ms');
      this.#attempt?.cancel();
      this.discardRest();
    };
    this.#untilDiscard = clock.after(limits.values.answered_body_ms, discard, true);
  }

  #finish(): void {
    this.#done = true;
    if (!this.#requestEnded) this.context.pool.bodies.forget(this);
    this.#forgetBody();
    this.repay();
  }

  #outgrowReplay(): void {
    this.context.limits.hit('replay_bytes');
    this.#forgetBody();
  }

  #forgetBody(): void {
    this.#replayable = false;
    this.#body = undefined;
  }
}
