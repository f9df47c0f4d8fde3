/** Growth over time by least squares, with what is known of its error. */

export interface Slope {
  /** Units of the value per hour. */
  readonly perHour: number;
  /** Half of the 95 % confidence interval. */
  readonly marginPerHour: number;
}

export interface Point {
  readonly atMs: number;
  readonly value: number;
}

/**
 * Neighbours in time are alike (a collector's garbage grows and falls over minutes), so that n points say less than n
 * independent ones would: the error is that of n (1 - r) / (1 + r) points, r the correlation of residuals with their neighbours.
 * @returns NaN with less than 4 points
 */
export function slopeOf(points: readonly Point[]): Slope {
  const count = points.length;
  if (count < 4) return { perHour: Number.NaN, marginPerHour: Number.NaN };
  const time = mean(points.map(({ atMs }) => atMs));
  const level = mean(points.map(({ value }) => value));
  let [covariance, spread] = [0, 0];
  for (const { atMs, value } of points) {
    covariance += (atMs - time) * (value - level);
    spread += (atMs - time) ** 2;
  }
  const slope = covariance / spread;
  const residuals = points.map(({ atMs, value }) => value - level - slope * (atMs - time));
  const squares = residuals.reduce((sum, one) => sum + one * one, 0);
  const neighbours = residuals.reduce((sum, one, index) => sum + one * (residuals[index - 1] ?? 0), 0);
  const alike = squares === 0 ? 0 : Math.min(0.99, Math.max(0, neighbours / squares));
  const freedom = Math.max(1, (count * (1 - alike)) / (1 + alike) - 2);
  const error = Math.sqrt(squares / freedom / spread);
  return { perHour: slope * hourMs, marginPerHour: student95(freedom) * error * hourMs };
}

const hourMs = 3_600_000;

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Quantile 0.975 of Student's distribution (Abramowitz and Stegun 26.7.5); at one or two degrees of freedom it is too small. */
function student95(freedom: number): number {
  const z = 1.959964;
  return (
    z +
    (z ** 3 + z) / (4 * freedom) +
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * freedom ** 2) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * freedom ** 3)
  );
}
