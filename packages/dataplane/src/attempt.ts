/** One try of an exchange at one endpoint: its place in the balancer, its stream, and what became of it. */
import type { Member } from '@mesh/balance/member';
import { getHeader } from '@mesh/http/headers';
import type {
  ClientConnection,
  ClientHandler,
  ClientStream,
  Headers,
  ResetReason,
  ResponseHead,
} from '@mesh/http/message';
import { asksToClose } from '@mesh/http/synthetic';
import { connectCauses } from './connector.ts';
import type { Endpoint } from './endpoint.ts';
import type { Exchange } from './exchange.ts';
import {
  type HttpCells,
  impliedGrpcStatus,
  isFailure,
  noGrpcStatus,
  parseGrpcStatus,
  type StreamFault,
} from './http-metrics.ts';
import { stripL5d } from './l5d-headers.ts';
import type { Lane, LaneFault, Submission } from './lane.ts';

export class Attempt implements ClientHandler, Submission {
  readonly #exchange: Exchange;
  readonly #member: Member<Endpoint>;
  readonly #endpoint: Endpoint;
  readonly lane: Lane;
  readonly #cells: HttpCells;
  readonly #startedAt: number;
  /** Response bytes whose credit was not given back yet. */
  #owed = 0;
  #status = 0;
  #grpcStatus = noGrpcStatus;
  #timed = false;
  /** The balancer and the metrics know the outcome. */
  #settled = false;
  /** Undefined while the connection is awaited. */
  stream: ClientStream | undefined;

  /** `now` by the context's clock. */
  constructor(exchange: Exchange, member: Member<Endpoint>, now: number) {
    this.#exchange = exchange;
    this.#member = member;
    this.#endpoint = member.target;
    this.lane = member.target.lane(exchange.head);
    this.#startedAt = now;
    this.#cells = exchange.context.countBy === 'client' ? exchange.context.cells : member.target.cells;
  }

  submit(): void {
    this.#member.begin();
    if (!this.lane.submit(this)) this.#exchange.context.pool.crowded(this.lane);
  }

  onConnection(connection: ClientConnection): void {
    const exchange = this.#exchange;
    const { bodiless } = exchange;
    if (exchange.context.countBy === 'endpoint') this.#cells.requested();
    this.stream = connection.request(exchange.headFor(this.#endpoint, this.lane), bodiless, this);
    exchange.onAttached(this.stream, bodiless);
  }

  onConnectFailed(fault: LaneFault): void {
    // Of those that a failed connect tells, one that ends with its connection takes others of it along.
    if (this.#settled) return;
    this.#settled = true;
    this.#member.end();
    this.#member.forgo();
    if (fault.kind === 'overloaded') this.#exchange.fail('overloaded', fault.detail);
    else this.#exchange.retryUnsent(this.#member, connectCauses[fault.kind], fault.detail);
  }

  onInform(head: ResponseHead): void {
    if (!this.#endpoint.meshed) stripL5d(head.headers);
    this.#exchange.inform(head);
  }

  onResponse(head: ResponseHead, end: boolean): void {
    this.#status = head.status;
    // A proxy at the other end says why it answered itself; an application has no business to.
    if (!this.#endpoint.meshed) stripL5d(head.headers);
    else if (asksToClose(head)) head.closes = true;
    this.#readGrpcStatus(head.headers);
    if (end) {
      this.#time();
      this.#settle('none');
    } else if (!isFailure(head.status, noGrpcStatus)) {
      this.#member.answered();
    }
    this.#exchange.respond(head, end);
  }

  onData(chunk: Buffer): void {
    this.#time();
    if (this.#exchange.write(chunk)) this.stream?.consume(chunk.length);
    else this.#owed += chunk.length;
  }

  onEnd(trailers: Headers | null): void {
    this.#time();
    if (trailers !== null) this.#readGrpcStatus(trailers);
    this.#settle('none');
    this.#exchange.end(trailers);
  }

  onReset(reason: ResetReason): void {
    if (this.#settled) {
      this.#exchange.discardRest();
      return;
    }
    if (reason === 'closed' && this.lane === this.#endpoint.peer.h2) {
      this.#endpoint.peer.connectionLost(this.lane);
    }
    if (reason === 'refused' && this.#status === 0) {
      this.#settle('refused');
      this.#exchange.retryRefused(this.#member);
      return;
    }
    // What was answered was processed: whoever is told that it was refused would send it again.
    const ended = reason === 'refused' ? 'protocol' : reason;
    this.#settle(faultOf(ended));
    this.#exchange.abort(ended, this.#endpoint);
  }

  onDrain(): void {
    this.#exchange.repay();
  }

  /** The client took what was written. */
  clientDrained(): void {
    const owed = this.#owed;
    if (owed === 0) return;
    this.#owed = 0;
    this.stream?.consume(owed);
  }

  /** The client is answered `status` by this proxy, for what is not the endpoint's fault. */
  overrule(status: number): void {
    this.stream?.reset('cancel');
    this.#status = status;
    if (!this.#settled) this.#settle('proxy');
  }

  /** The client is gone. */
  cancel(): void {
    if (this.stream === undefined) this.lane.withdraw(this);
    else this.stream.reset('cancel');
    if (this.#settled) return;
    if (!this.#timed) {
      // Waiting in vain says at least this much about the endpoint.
      const now = this.#exchange.context.clock.now();
      const waited = now - this.#startedAt;
      if (waited > this.#member.rttMs) this.#member.observe(waited, now);
    }
    this.#settle('cancel');
  }

  #readGrpcStatus(headers: Headers): void {
    if (!this.#exchange.grpc) return;
    const text = getHeader(headers, 'grpc-status');
    if (text !== undefined) this.#grpcStatus = parseGrpcStatus(text);
  }

  #time(): void {
    if (this.#timed) return;
    this.#timed = true;
    const now = this.#exchange.context.clock.now();
    this.#member.observe(now - this.#startedAt, now);
    this.#cells.latency(this.#status, now - this.#exchange.startedAt);
  }

  #settle(fault: StreamFault): void {
    this.#settled = true;
    // Its caller takes a whole answer without a status for an error, too.
    if (fault === 'none' && this.#exchange.grpc && this.#grpcStatus === noGrpcStatus)
      this.#grpcStatus = impliedGrpcStatus(this.#status);
    const member = this.#member;
    member.end();
    if (fault === 'cancel' || fault === 'proxy') member.forgo();
    else if (fault === 'refused') member.refuse(this.#startedAt);
    else if (fault !== 'none' || isFailure(this.#status, this.#grpcStatus)) member.fail();
    else member.succeed();
    // Counted by client, a refused try is not the end of the request.
    if (fault === 'refused' && this.#exchange.context.countBy === 'client') return;
    if (this.stream === undefined) this.#exchange.countUnsent('cancel');
    else this.#cells.ended(this.#status, this.#grpcStatus, fault);
  }
}

function faultOf(reason: ResetReason): StreamFault {
  if (reason === 'closed' || reason === 'timeout' || reason === 'cancel') return reason;
  return 'protocol';
}
