/** Serves one peer's HTTP/2 connection: each request is admitted by itself, stamped with its caller, and forwarded. */
import { Discard } from '@mesh/dataplane/discard';
import { forward } from '@mesh/dataplane/http-forwarder';
import {
  clientIdHeader,
  origProtoHeader,
  parseOrigProto,
  restoreOriginal,
  stripL5d,
} from '@mesh/dataplane/l5d-headers';
import { getHeader } from '@mesh/http/headers';
import type { RequestHead, RequestListener, ServerStream, StreamHandler } from '@mesh/http/message';
import { isGrpc, syntheticResponse } from '@mesh/http/synthetic';
import type { PeerIdentity } from '@mesh/trust/names';
import { type AdmissionRefusal, admissionRefusals, type AdmissionTable } from './admission.ts';
import type { ExportTargets } from './exports.ts';
import type { GatewayMetrics } from './gateway-metrics.ts';
import { gatewayLimits } from './limits.ts';

/** Clusters whose gateways a request passed, comma-separated; only gateways write it. */
const clusterPathHeader = 'l5d-cluster-path';

interface Options {
  caller: PeerIdentity;
  /** This cluster. */
  cluster: string;
  table: () => AdmissionTable | undefined;
  targets: ExportTargets;
  metrics: GatewayMetrics;
  onClose: () => void;
}

export class PeerListener implements RequestListener {
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamHandler {
    const { caller, cluster, table, targets, metrics } = this.#options;
    const current = table();
    if (current === undefined) return this.#refuse(stream, head, 'no-table');
    const admission = current.admit(caller, head.authority);
    if (admission.kind === 'refused') return this.#refuse(stream, head, admission.reason);
    const { headers } = head;
    const passed = (getHeader(headers, clusterPathHeader) ?? '').split(',').filter((name) => name !== '');
    if (passed.includes(cluster) || passed.length >= gatewayLimits.gateway_hops.default)
      return this.#refuse(stream, head, 'loop');
    const carried = getHeader(headers, origProtoHeader);
    const original = carried === undefined ? undefined : parseOrigProto(carried);
    stripL5d(headers);
    headers.push(clientIdHeader, caller.name, clusterPathHeader, [...passed, cluster].join(','));
    if (admission.kind === 'federation') metrics.federationRequest(caller.cluster);
    const context =
      admission.kind === 'federation'
        ? targets.federation(current.table, caller.cluster)
        : targets.context(admission.authority, admission.service, caller.cluster);
    if (context === undefined) {
      return this.#refuse(stream, head, admission.kind === 'federation' ? 'no-table' : 'too-many-exports');
    }
    if (admission.kind === 'export') head.authority = admission.authority;
    // Carried again to a pod with a sidecar, sent as it was to one without.
    if (original !== undefined) restoreOriginal(head, original);
    return forward(context, { stream, head, end, restored: original?.text ?? '' });
  }

  onClose(): void {
    this.#options.onClose();
  }

  #refuse(stream: ServerStream, head: RequestHead, reason: AdmissionRefusal): StreamHandler {
    this.#options.metrics.requestRefused(this.#options.caller.cluster, reason);
    const { answer, text } = admissionRefusals[reason];
    const grpc = head.method === 'POST' && isGrpc(head);
    stream.respond(
      syntheticResponse(answer, { grpc, by: this.#options.targets.proxyName, message: text }),
      true,
    );
    return new Discard(stream);
  }
}
