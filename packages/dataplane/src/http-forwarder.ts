/** Ready-made listeners that forward every request of a connection to one destination. */
import type { RequestHead, RequestListener, ServerStream, StreamHandler } from '@mesh/http/message';
import { Exchange, type ForwardContext } from './exchange.ts';
import { stripL5d } from './l5d-headers.ts';

/** Forwards one request. `restored`: HTTP version that the response tells the client's proxy to restore; empty for none. */
export function forward(
  context: ForwardContext,
  request: { stream: ServerStream; head: RequestHead; end: boolean; restored: string },
): StreamHandler {
  const exchange = new Exchange(context, request);
  exchange.start();
  return exchange;
}

/** Serves an application's outbound connection: nothing it claims in `l5d-*` fields leaves it. */
export class ApplicationListener implements RequestListener {
  readonly #context: ForwardContext;
  readonly #onClose: () => void;

  constructor(context: ForwardContext, onClose: () => void) {
    this.#context = context;
    this.#onClose = onClose;
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamHandler {
    stripL5d(head.headers);
    const exchange = new Exchange(this.#context, { stream, head, end, restored: '' });
    exchange.start();
    return exchange;
  }

  onClose(): void {
    this.#onClose();
  }
}
