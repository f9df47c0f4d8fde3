/** Serves HTTP from one client to the application behind one port. */
import { getHeader } from '@mesh/http/headers';
import type {
  RequestHead,
  RequestListener,
  ServerConnection,
  ServerStream,
  StreamHandler,
} from '@mesh/http/message';
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
import { review } from '@mesh/dataplane/review';
import type { Counter } from '@mesh/telemetry/metrics';
import { parseIdentity } from '@mesh/trust/names';
import {
  type Caller,
  inboundRefusal,
  type InboundRefusal,
  inboundRefusals,
  isOpenPath,
  type PolicyContext,
  type ServerPolicy,
} from './inbound-policy.ts';
import type { PortPolicy } from './port-policies.ts';

export interface InboundListenerOptions {
  context: ForwardContext;
  policy: PortPolicy;
  pod: PolicyContext;
  /** The connection's own: `identity` is what its certificate proved. */
  client: Caller;
  /** The client is the gateway of our own cluster: it says on whose behalf it calls. */
  viaGateway: boolean;
  allowed: Counter;
  denied: (reason: InboundRefusal) => Counter;
  terminated: (reason: InboundRefusal) => Counter;
  onClose: () => void;
}

export class InboundListener implements RequestListener {
  readonly #options: InboundListenerOptions;
  /** The policy that `#verdict` follows. */
  #policy: ServerPolicy;
  /** Verdict on the connection's own identity; of a gateway's callers it is found per request. */
  #verdict: InboundRefusal | undefined;
  /** The listener's own, once it is served. */
  connection: ServerConnection | undefined = undefined;
  readonly #unwatch: () => void;

  constructor(options: InboundListenerOptions) {
    this.#options = options;
    this.#policy = options.policy.current;
    this.#verdict = inboundRefusal(this.#policy, options.client, options.pod);
    this.#unwatch = options.policy.onChange(() => this.#review());
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamHandler {
    const { context, client, policy, pod, viaGateway, allowed, denied } = this.#options;
    const { headers } = head;
    const { current } = policy;
    if (current !== this.#policy) {
      this.#policy = current;
      this.#verdict = inboundRefusal(current, client, pod);
    }
    let caller = client;
    let verdict = this.#verdict;
    let restored: OrigProto | undefined;
    if (client.identity !== undefined && head.version === 20) {
      const value = getHeader(headers, origProtoHeader);
      if (value !== undefined) restored = parseOrigProto(value);
    }
    if (viaGateway) {
      caller = this.#caller(getHeader(headers, clientIdHeader));
      verdict = inboundRefusal(current, caller, pod);
    }
    stripL5d(headers);
    if (verdict !== undefined && !isOpenPath(current, head, caller)) {
      denied(verdict).value++;
      return this.#refuse(stream, head, verdict);
    }
    allowed.value++;
    if (caller.identity !== undefined) headers.push(clientIdHeader, caller.identity);
    if (restored !== undefined) restoreOriginal(head, restored);
    return forward(context, { stream, head, end, restored: restored?.text ?? '' });
  }

  onClose(): void {
    this.#unwatch();
    this.#options.onClose();
  }

  /** Holds what is under way to the policy of now. */
  #review(): void {
    if (this.connection === undefined) return;
    const { client, policy, pod, viaGateway, terminated } = this.#options;
    const { current } = policy;
    review(this.connection, ({ head }) => {
      const caller = viaGateway ? this.#caller(getHeader(head.headers, clientIdHeader)) : client;
      const reason = refusalOf(head, caller, current, pod);
      if (reason === undefined) return undefined;
      terminated(reason).value++;
      return inboundRefusals[reason];
    });
  }

  /** The gateway itself when it names nobody valid. */
  #caller(claimed: string | undefined): Caller {
    const { client, pod } = this.#options;
    const known = claimed !== undefined && parseIdentity(claimed, pod.suffix) !== undefined;
    return known ? { identity: claimed, address: client.address } : client;
  }

  #refuse(stream: ServerStream, head: RequestHead, reason: InboundRefusal): StreamHandler {
    const { answer, text } = inboundRefusals[reason];
    const grpc = head.method === 'POST' && isGrpc(head);
    stream.respond(
      syntheticResponse(answer, { grpc, by: this.#options.context.proxyName, message: text }),
      true,
    );
    return new Discard(stream);
  }
}

function refusalOf(
  head: RequestHead,
  caller: Caller,
  policy: ServerPolicy,
  pod: PolicyContext,
): InboundRefusal | undefined {
  const reason = inboundRefusal(policy, caller, pod);
  return reason === undefined || isOpenPath(policy, head, caller) ? undefined : reason;
}
