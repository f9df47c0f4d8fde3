/** What the load saw, request by request, and what can be said about a span of it. */

/** One finished request of the load. */
export interface Sample {
  /** When it was due, wall-clock milliseconds. */
  dueMs: number;
  /** From due to the end of the answer, so that a stalled load cannot hide a slow server. */
  latencyMs: number;
  /** 0 when nothing was answered. */
  status: number;
  /** Cluster whose cart answered; empty for none. */
  cluster: string;
}

export interface Span {
  requests: number;
  failed: number;
  /** Share of good answers, 0 to 1; 1 without requests. */
  success: number;
  p50Ms: number;
  p99Ms: number;
  /** Good answers by cluster, most first. */
  clusters: [cluster: string, answers: number][];
}

export const isGood = ({ status }: Sample): boolean => status >= 200 && status < 300;

export function summarize(samples: readonly Sample[]): Span {
  const good = samples.filter(isGood);
  const latencies = good.map(({ latencyMs }) => latencyMs).sort((one, other) => one - other);
  const clusters = new Map<string, number>();
  for (const { cluster } of good) clusters.set(cluster, (clusters.get(cluster) ?? 0) + 1);
  return {
    requests: samples.length,
    failed: samples.length - good.length,
    success: samples.length === 0 ? 1 : good.length / samples.length,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    clusters: [...clusters].sort(([, one], [, other]) => other - one),
  };
}

/** Nearest rank of ascending values; NaN without any. */
export function quantile(ascending: readonly number[], share: number): number {
  return (
    ascending[Math.min(ascending.length - 1, Math.max(0, Math.ceil(share * ascending.length) - 1))] ??
    Number.NaN
  );
}

/**
 * How long after `faultMs` the first request was answered that was due after it and that met `wanted`, in milliseconds
 * from the fault to the end of its answer; undefined when none was.
 */
export function firstGoodAfter(
  samples: readonly Sample[],
  faultMs: number,
  wanted: (sample: Sample) => boolean = () => true,
): number | undefined {
  let first: number | undefined;
  for (const sample of samples) {
    if (sample.dueMs < faultMs || !isGood(sample) || !wanted(sample)) continue;
    const at = sample.dueMs + sample.latencyMs - faultMs;
    if (first === undefined || at < first) first = at;
  }
  return first;
}

/** Lines of a load pod's log to samples; other lines are skipped. */
export function parseLoadLine(line: string): Sample[] {
  const start = line.indexOf('{"load":');
  if (start === -1) return [];
  try {
    const { load } = JSON.parse(line.slice(start)) as { load: [number, number, number, string][] };
    return load.map(([dueMs, latencyMs, status, cluster]) => ({ dueMs, latencyMs, status, cluster }));
  } catch {
    // A line cut short by the end of the log.
    return [];
  }
}
