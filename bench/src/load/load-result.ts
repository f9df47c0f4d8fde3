/** What a load generator saw. */
export interface LoadResult {
  /** Requests answered, or connections served. */
  readonly operations: number;
  /** Those that got no answer or one that is no success. */
  readonly failed: number;
  /** Answered before the measurement began: no part of rate and latency, but the proxies worked for them, too. */
  readonly warmUp?: number;
  readonly seconds: number;
  /** Of bodies, or of a stream, received. */
  readonly bytes: number;
  /** Of one operation; undefined where there is none to speak of. */
  readonly latencyMs?: Latency;
  /** Answered 503, where that is expected. */
  readonly shed?: { readonly count: number; readonly latencyMs: Latency };
  /** How much later than due requests were sent: what the load generator and its machine add. */
  readonly lateMs?: Latency;
}

export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}
