/** Serves HTTP from one client to the application behind one port. */
import { getHeader } from '@mesh/http/headers';
import type { RequestHead, RequestListener, ServerStream, StreamHandler } from '@mesh/http/message';
import { isGrpc, syntheticResponse } from '@mesh/http/synthetic';
import { Discard } from '@mesh/dataplane/discard';
import type { ForwardContext } from '@mesh/dataplane/exchange';
import { forward } from '@mesh/dataplane/http-forwarder';
import {
  clientIdHeader,
  type OrigProto,
  origProtoHeader,
  parseOrigProto,
  restoreOriginal,
  stripL5d,
} from '@mesh/dataplane/l5d-headers';
import type { Counter } from '@mesh/telemetry/metrics';
import { parseIdentity } from '@mesh/trust/names';
import {
  inboundRefusal,
  type InboundRefusal,
  inboundRefusalText,
  type PolicyContext,
} from './inbound-policy.ts';

export interface InboundListenerOptions {
  context: ForwardContext;
  policy: PolicyContext;
  /** What the client's certificate proved; undefined for plaintext. */
  identity: string | undefined;
  /** The client is the gateway of our own cluster: it says on whose behalf it calls. */
  viaGateway: boolean;
  allowed: Counter;
  denied: (reason: InboundRefusal) => Counter;
  onClose: () => void;
}

export class InboundListener implements RequestListener {
  readonly #options: InboundListenerOptions;
  /** Verdict on the connection's own identity; of a gateway's callers it is found per request. */
  readonly #verdict: InboundRefusal | undefined;

  constructor(options: InboundListenerOptions) {
    this.#options = options;
    this.#verdict = options.viaGateway ? undefined : inboundRefusal(options.policy, options.identity);
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamHandler {
    const { context, identity, viaGateway, allowed, denied } = this.#options;
    const { headers } = head;
    let caller = identity;
    let verdict = this.#verdict;
    let restored: OrigProto | undefined;
    if (identity !== undefined && head.version === 20) {
      const value = getHeader(headers, origProtoHeader);
      if (value !== undefined) restored = parseOrigProto(value);
    }
    if (viaGateway) {
      caller = this.#caller(getHeader(headers, clientIdHeader));
      verdict = inboundRefusal(this.#options.policy, caller);
    }
    stripL5d(headers);
    if (verdict !== undefined) {
      denied(verdict).value++;
      return this.#refuse(stream, head, verdict);
    }
    allowed.value++;
    if (caller !== undefined) headers.push(clientIdHeader, caller);
    if (restored !== undefined) restoreOriginal(head, restored);
    return forward(context, { stream, head, end, restored: restored?.text ?? '' });
  }

  onClose(): void {
    this.#options.onClose();
  }

  /** The gateway itself when it names nobody valid. */
  #caller(claimed: string | undefined): string | undefined {
    const { identity, policy } = this.#options;
    return claimed !== undefined && parseIdentity(claimed, policy.suffix) !== undefined ? claimed : identity;
  }

  #refuse(stream: ServerStream, head: RequestHead, reason: InboundRefusal): StreamHandler {
    stream.respond(
      syntheticResponse('unauthorized', {
        grpc: head.method === 'POST' && isGrpc(head),
        informational: this.#options.identity !== undefined,
        message: inboundRefusalText[reason],
      }),
      true,
    );
    return new Discard(stream);
  }
}
