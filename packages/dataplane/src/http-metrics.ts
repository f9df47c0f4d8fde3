/**
 * `request_total`, `response_total` and `response_latency_ms`, with one cell per endpoint and outcome.
 *
 * Cells are found through small numeric maps: an event on the request path formats no label and allocates nothing once
 * its outcome has been seen.
 */
import {
  type Counter,
  type Family,
  type Histogram,
  type Labels,
  latencyBucketsMs,
  type MetricRegistry,
} from '@mesh/telemetry/metrics';

/** No grpc-status was seen. */
export const noGrpcStatus = -1;

/** Why a response did not end well; `none` when it did. */
export type StreamFault = 'none' | 'cancel' | 'refused' | 'closed' | 'timeout' | 'protocol' | 'proxy';

const faults: readonly StreamFault[] = [
  'none',
  'cancel',
  'refused',
  'closed',
  'timeout',
  'protocol',
  'proxy',
];

/** gRPC codes that are the server's fault: UNKNOWN, DEADLINE_EXCEEDED, PERMISSION_DENIED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
const failedGrpc: ReadonlySet<number> = new Set([2, 4, 7, 13, 14, 15]);

/** Of HTTP statuses, as callers read an answer without grpc-status (grpc/doc/http-grpc-status-mapping.md). */
const impliedGrpc: ReadonlyMap<number, number> = new Map([
  [400, 13],
  [401, 16],
  [403, 7],
  [404, 12],
  [429, 14],
  [502, 14],
  [503, 14],
  [504, 14],
]);

/** What a gRPC caller takes an answer for that ended without grpc-status. */
export function impliedGrpcStatus(status: number): number {
  return impliedGrpc.get(status) ?? 2;
}

/** UNKNOWN for what is no status. */
export function parseGrpcStatus(text: string): number {
  const status = text === '' ? Number.NaN : Number(text);
  return Number.isInteger(status) && status >= 0 && status <= 16 ? status : 2;
}

/** The one classification of responses, also used by breakers. */
export function isFailure(status: number, grpcStatus: number): boolean {
  return grpcStatus === noGrpcStatus ? status >= 500 : failedGrpc.has(grpcStatus);
}

export class HttpMetrics {
  readonly #requests: Family<Counter>;
  readonly #responses: Family<Counter>;
  readonly #latency: Family<Histogram>;
  readonly #retries: Family<Counter>;

  constructor(registry: MetricRegistry) {
    this.#requests = registry.counter('request_total', 'Requests whose head was seen.', { forgetful: true });
    this.#responses = registry.counter('response_total', 'Responses that ended, by outcome.', {
      forgetful: true,
    });
    this.#latency = registry.histogram(
      'response_latency_ms',
      'From the request head to the first response data, or the end without any.',
      latencyBucketsMs,
      { forgetful: true },
    );
    this.#retries = registry.counter(
      'mesh_retries_total',
      'Requests sent again because no endpoint had processed them.',
    );
  }

  cells(labels: Labels): HttpCells {
    return new HttpCells(labels, this.#requests, this.#responses, this.#latency);
  }

  /** Retries by direction and `outcome`: `sent` or `no_budget`. */
  retries(labels: Labels): Counter {
    return this.#retries.with(labels);
  }
}

/** The cells of one label set (direction, tls, identities, dst_*). */
export class HttpCells {
  readonly #labels: Labels;
  readonly #requests: Family<Counter>;
  readonly #responses: Family<Counter>;
  readonly #latency: Family<Histogram>;
  readonly #byOutcome: Map<number, Counter> = new Map();
  readonly #byStatus: Map<number, Histogram> = new Map();
  #request: Counter | undefined;

  constructor(
    labels: Labels,
    requests: Family<Counter>,
    responses: Family<Counter>,
    latency: Family<Histogram>,
  ) {
    this.#labels = labels;
    this.#responses = responses;
    this.#latency = latency;
    this.#requests = requests;
  }

  /** A request's head was seen. */
  requested(): void {
    this.#request ??= this.#requests.with(this.#labels);
    this.#request.value++;
  }

  /** A response ended. `status` is 0 when no head was seen. */
  ended(status: number, grpcStatus: number, fault: StreamFault): void {
    const key = (status * 32 + grpcStatus + 1) * faults.length + faults.indexOf(fault);
    let counter = this.#byOutcome.get(key);
    if (counter === undefined) {
      const failed = fault !== 'none' || isFailure(status, grpcStatus);
      counter = this.#responses.with({
        ...this.#labels,
        status_code: status === 0 ? '' : String(status),
        classification: failed ? 'failure' : 'success',
        grpc_status: grpcStatus === noGrpcStatus ? '' : String(grpcStatus),
        error: fault === 'none' ? '' : fault,
      });
      this.#byOutcome.set(key, counter);
    }
    counter.value++;
  }

  latency(status: number, ms: number): void {
    let histogram = this.#byStatus.get(status);
    if (histogram === undefined) {
      histogram = this.#latency.with({ ...this.#labels, status_code: String(status) });
      this.#byStatus.set(status, histogram);
    }
    histogram.observe(ms);
  }
}
