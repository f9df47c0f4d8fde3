/** What a load generator saw. */
export interface LoadResult {
  readonly requests: number;
  /** Requests that got no answer or one that is no success. */
  readonly failed: number;
  readonly seconds: number;
  /** Received. */
  readonly bytes: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly p999: number };
}
