import type {
  ClientConnection,
  ClientHandler,
  ClientStream,
  Headers,
  RequestHead,
  RequestListener,
  ResetReason,
  ResponseHead,
  ServerStream,
  StreamHandler,
} from '@mesh/http/message';

/** A GET of `path`, or what `changes` make of it. */
export function requestHead(path: string, changes: Partial<RequestHead> = {}): RequestHead {
  return {
    method: 'GET',
    scheme: 'http',
    authority: 'test.local',
    path,
    headers: [],
    upgrade: '',
    version: 20,
    ...changes,
  };
}

/** Collects what a client is told about one exchange. */
export class Collector implements ClientHandler {
  readonly informed: ResponseHead[] = [];
  head: ResponseHead | undefined;
  readonly chunks: Buffer[] = [];
  bytes = 0;
  trailers: Headers | null = null;
  ended = false;
  resetReason: ResetReason | undefined;
  drains = 0;
  /** Give credit back on arrival. */
  consumes = true;
  stream: ClientStream | undefined;
  readonly done: Promise<void>;
  #resolve: () => void = () => {};

  constructor() {
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get body(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }

  onInform(head: ResponseHead): void {
    this.informed.push(head);
  }

  onResponse(head: ResponseHead, end: boolean): void {
    this.head = head;
    if (end) this.#finish();
  }

  onData(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.bytes += chunk.length;
    if (this.consumes) this.stream?.consume(chunk.length);
  }

  onEnd(trailers: Headers | null): void {
    this.trailers = trailers;
    this.#finish();
  }

  onReset(reason: ResetReason): void {
    this.resetReason = reason;
    this.#resolve();
  }

  onDrain(): void {
    this.drains += 1;
  }

  #finish(): void {
    this.ended = true;
    this.#resolve();
  }
}

/** Sends a request with an optional body and collects the answer. */
export function send(
  connection: ClientConnection,
  head: RequestHead,
  body?: Buffer,
  trailers: Headers | null = null,
): Collector {
  const collector = new Collector();
  const end = body === undefined && trailers === null;
  const stream = connection.request(head, end, collector);
  collector.stream = stream;
  if (body !== undefined) stream.write(body);
  if (!end) stream.end(trailers);
  return collector;
}

/** Takes nothing and says nothing. */
class Silent implements StreamHandler {
  readonly #owner: EchoListener;

  constructor(owner: EchoListener) {
    this.#owner = owner;
  }

  onData(chunk: Buffer): void {
    this.#owner.received += chunk.length;
  }

  onEnd(): void {
    this.#owner.ended += 1;
  }

  onReset(reason: ResetReason): void {
    this.#owner.resets.push(reason);
  }

  onDrain(): void {
    this.#owner.drains += 1;
  }
}

/** One exchange at `EchoListener`: sends back the body as it comes, and its trailers. */
class Echo implements StreamHandler {
  readonly #owner: EchoListener;
  readonly #stream: ServerStream;
  #owed = 0;

  constructor(owner: EchoListener, stream: ServerStream) {
    this.#owner = owner;
    this.#stream = stream;
  }

  onData(chunk: Buffer): void {
    this.#owner.received += chunk.length;
    if (this.#stream.write(chunk)) this.#stream.consume(chunk.length);
    else this.#owed += chunk.length;
  }

  onEnd(trailers: Headers | null): void {
    this.#stream.end(trailers);
  }

  onReset(reason: ResetReason): void {
    this.#owner.resets.push(reason);
  }

  onDrain(): void {
    this.#stream.consume(this.#owed);
    this.#owed = 0;
  }
}

const piece = Buffer.alloc(16_384);

/** Answers with bytes until it is reset. */
class Endless extends Silent {
  readonly #owner: EchoListener;
  readonly #stream: ServerStream;

  constructor(owner: EchoListener, stream: ServerStream) {
    super(owner);
    this.#owner = owner;
    this.#stream = stream;
    stream.respond({ status: 200, headers: [] }, false);
    this.onDrain();
  }

  override onDrain(): void {
    do this.#owner.written += piece.length;
    while (this.#stream.write(piece));
  }
}

/**
 * Answers every request: with a body, echoes it; without, the path as body. `/silent` is never answered or consumed,
 * `/big/N` gets N bytes, `/endless` as many as it takes, `/inform` a 103 first, `/trailers` trailers, `/refuse` a reset, `/empty`
 * a 204.
 */
export class EchoListener implements RequestListener {
  readonly heads: RequestHead[] = [];
  readonly streams: ServerStream[] = [];
  readonly resets: ResetReason[] = [];
  received = 0;
  /** Of `/endless`. */
  written = 0;
  ended = 0;
  drains = 0;
  closed = 0;

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamHandler {
    this.heads.push(head);
    this.streams.push(stream);
    if (head.path === '/silent' || head.upgrade !== '') return new Silent(this);
    if (head.path === '/endless') return new Endless(this, stream);
    const handler = new Echo(this, stream);
    if (head.path === '/empty') {
      stream.respond({ status: 204, headers: [] }, true);
      return handler;
    }
    if (head.path === '/refuse') {
      stream.reset('refused');
      return handler;
    }
    if (head.path === '/inform') stream.inform({ status: 103, headers: ['link', '</a>'] });
    if (!end) {
      stream.respond({ status: 200, headers: [] }, false);
      return handler;
    }
    const size = /^\/big\/([0-9]{1,8})$/.exec(head.path)?.[1];
    const body = size === undefined ? Buffer.from(head.path, 'latin1') : Buffer.alloc(Number(size), 'x');
    stream.respond({ status: 200, headers: ['content-type', 'text/plain'] }, false);
    stream.write(body);
    stream.end(head.path === '/trailers' ? ['checksum', 'abc'] : null);
    return handler;
  }

  onClose(): void {
    this.closed += 1;
  }
}
