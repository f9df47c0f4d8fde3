/**
 * Metric cells for hot paths and their exposition (Prometheus text format 0.0.4).
 *
 * A cell is looked up once per label set and then incremented directly: no map look-up, no string and no allocation
 * per event. Pages are rendered from the cells at scrape time.
 */

import type { Clock, Timer } from '@mesh/clock/clock';
import { adminLimits } from './limits.ts';

const { metric_series: mostSeries, metric_histogram_series: mostHistograms } = adminLimits;

export type Labels = Readonly<Record<string, string>>;

export class Counter {
  value = 0;

  add(amount = 1): void {
    this.value += amount;
  }
}

export class Gauge {
  value = 0;

  set(value: number): void {
    this.value = value;
  }

  add(amount: number): void {
    this.value += amount;
  }
}

export class Histogram {
  /** Upper bounds, ascending, without +Inf. */
  readonly bounds: readonly number[];
  /** Non-cumulative counts; the last one is the overflow bucket. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const { bounds } = this;
    let low = 0;
    let high = bounds.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (value <= (bounds[middle] as number)) high = middle;
      else low = middle + 1;
    }
    this.counts[low] = (this.counts[low] as number) + 1;
    this.sum += value;
  }
}

type Cell = Counter | Gauge | Histogram;
type Kind = 'counter' | 'gauge' | 'histogram';

/** How the gauges of several processes make one: amounts add up, of facts and ages the greatest counts. */
export type GaugeMerge = 'sum' | 'max';

const overflowLabels = 'overflow="true"';

/** How long a series of something that is gone is still shown, so that its last values are scraped. */
export const idleSeriesMs = 600_000;
const forgetEveryMs = 60_000;

/** What a cell counted until a moment, to see whether it is still in use. */
interface Seen {
  readonly level: number;
  readonly atMs: number;
}

interface FamilyOptions {
  readonly maxSeries: number;
  readonly merge?: GaugeMerge;
  /** Whether series that are no longer in use are forgotten: where labels name peers, which come and go. */
  readonly forgetful?: boolean;
}

/**
 * One metric name with its cells, one per label set. `maxSeries` bounds label sets; the rest share one cell.
 *
 * A cell may be held by who counts into it, and a cell that is held must stay on the page. So a forgetful family lets go of
 * an idle cell by holding it weakly: it is gone when nobody else holds it, and nobody has to say so.
 */
export class Family<C extends Cell> {
  readonly name: string;
  readonly help: string;
  readonly kind: Kind;
  /** For gauges; counters and histograms always add up. */
  readonly merge: GaugeMerge;
  readonly forgetful: boolean;
  readonly #make: () => C;
  readonly #cells: Map<string, C> = new Map();
  readonly #idle: Map<string, { readonly cell: WeakRef<C>; readonly level: number }> = new Map();
  readonly #seen: Map<string, Seen> = new Map();
  readonly #maxSeries: number;
  #overflow: C | undefined;

  constructor(
    name: string,
    help: string,
    kind: Kind,
    make: () => C,
    { maxSeries, merge = 'sum', forgetful = false }: FamilyOptions,
  ) {
    this.name = name;
    this.help = help;
    this.kind = kind;
    this.merge = merge;
    this.#make = make;
    this.#maxSeries = maxSeries;
    this.forgetful = forgetful;
  }

  /** The cell of this label set, made at first use. Keep it; do not call this per event. */
  with(labels: Labels = {}): C {
    return this.rendered(renderLabels(labels));
  }

  /** Whether there is a cell for a label set as `series` gives it. */
  has(key: string): boolean {
    if (key === overflowLabels) return this.#overflow !== undefined;
    return this.#cells.has(key) || this.#idle.get(key)?.cell.deref() !== undefined;
  }

  /** The cell of a label set as `series` gives it. */
  rendered(key: string): C {
    if (key === overflowLabels) return (this.#overflow ??= this.#make());
    const known = this.#cells.get(key);
    if (known !== undefined) return known;
    const idle = this.#idle.get(key)?.cell.deref();
    if (idle !== undefined) return this.#hold(key, idle);
    if (this.#cells.size + this.#idle.size >= this.#maxSeries) {
      this.#overflow ??= this.#make();
      return this.#overflow;
    }
    return this.#hold(key, this.#make());
  }

  /** Forgets one label set, for things that are gone. */
  remove(labels: Labels): void {
    this.drop(renderLabels(labels));
  }

  /** Forgets a label set as `series` gives it. */
  drop(key: string): void {
    this.#cells.delete(key);
    this.#idle.delete(key);
    this.#seen.delete(key);
  }

  /** Lets go of cells that did not change for `idleSeriesMs`; of a forgetful family. Gauges count as idle at 0 alone. */
  forgetIdle(nowMs: number): void {
    if (!this.forgetful) return;
    for (const [key, { cell: weak, level }] of this.#idle) {
      const cell = weak.deref();
      if (cell === undefined) this.#idle.delete(key);
      else if (levelOf(cell) !== level) this.#hold(key, cell);
    }
    for (const [key, cell] of this.#cells) {
      const level = levelOf(cell);
      const seen = this.#seen.get(key);
      if (seen?.level !== level) this.#seen.set(key, { level, atMs: nowMs });
      else if (nowMs - seen.atMs >= idleSeriesMs && !(cell instanceof Gauge && level !== 0)) {
        this.#cells.delete(key);
        this.#seen.delete(key);
        this.#idle.set(key, { cell: new WeakRef(cell), level });
      }
    }
  }

  #hold(key: string, cell: C): C {
    this.#idle.delete(key);
    this.#cells.set(key, cell);
    return cell;
  }

  /** Rendered label text and cell of each series; the overflow cell carries `overflow="true"`. */
  *series(): IterableIterator<[string, C]> {
    yield* this.#cells;
    for (const [key, { cell: weak }] of this.#idle) {
      const cell = weak.deref();
      if (cell !== undefined) yield [key, cell];
    }
    if (this.#overflow !== undefined) yield [overflowLabels, this.#overflow];
  }
}

/** Changes with each event that is counted; of a gauge, its value. */
function levelOf(cell: Cell): number {
  return cell instanceof Histogram ? cell.counts.reduce((sum, count) => sum + count, 0) : cell.value;
}

/** All families of one process. */
export class MetricRegistry {
  readonly #families: Map<string, Family<Cell>> = new Map();
  readonly #collectors: (() => void)[] = [];

  counter(
    name: string,
    help: string,
    { maxSeries = mostSeries.default, ...options }: Partial<FamilyOptions> = {},
  ): Family<Counter> {
    return this.#add(
      new Family<Counter>(name, help, 'counter', () => new Counter(), { maxSeries, ...options }),
    );
  }

  gauge(
    name: string,
    help: string,
    { maxSeries = mostSeries.default, ...options }: Partial<FamilyOptions> = {},
  ): Family<Gauge> {
    return this.#add(new Family<Gauge>(name, help, 'gauge', () => new Gauge(), { maxSeries, ...options }));
  }

  histogram(
    name: string,
    help: string,
    bounds: readonly number[],
    { maxSeries = mostHistograms.default, ...options }: Partial<FamilyOptions> = {},
  ): Family<Histogram> {
    return this.#add(
      new Family<Histogram>(name, help, 'histogram', () => new Histogram(bounds), { maxSeries, ...options }),
    );
  }

  /** Begins to let go of idle series of forgetful families; ends with the timer. */
  forgetIdle(clock: Clock): Timer {
    const sweep = (): void => {
      for (const family of this.#families.values()) family.forgetIdle(clock.now());
    };
    return clock.every(forgetEveryMs, sweep, true);
  }

  /** Runs before each rendering, to copy values kept elsewhere into cells. */
  onCollect(collect: () => void): void {
    this.#collectors.push(collect);
  }

  families(): IterableIterator<Family<Cell>> {
    return this.#families.values();
  }

  /** The family of this name, made by `make` when there is none. */
  family(name: string, make: () => Family<Counter> | Family<Gauge> | Family<Histogram>): Family<Cell> {
    return this.#families.get(name) ?? (make() as unknown as Family<Cell>);
  }

  /** Copies values kept elsewhere into cells, as before each rendering. */
  collect(): void {
    for (const collect of this.#collectors) collect();
  }

  /** The page, Prometheus text format 0.0.4. */
  render(): string {
    this.collect();
    const lines: string[] = [];
    for (const family of this.#families.values()) {
      lines.push(`# HELP ${family.name} ${family.help}`, `# TYPE ${family.name} ${family.kind}`);
      for (const [labels, cell] of family.series()) renderCell(lines, family.name, labels, cell);
    }
    return `${lines.join('\n')}\n`;
  }

  #add<C extends Cell>(family: Family<C>): Family<C> {
    if (this.#families.has(family.name)) throw new Error(`metric ${family.name} is registered twice`);
    this.#families.set(family.name, family as unknown as Family<Cell>);
    return family;
  }
}

function renderCell(lines: string[], name: string, labels: string, cell: Cell): void {
  if (!(cell instanceof Histogram)) {
    lines.push(labels === '' ? `${name} ${cell.value}` : `${name}{${labels}} ${cell.value}`);
    return;
  }
  const prefix = labels === '' ? '' : `${labels},`;
  let total = 0;
  for (let index = 0; index < cell.counts.length; index++) {
    total += cell.counts[index] as number;
    const bound = cell.bounds[index];
    lines.push(`${name}_bucket{${prefix}le="${bound ?? '+Inf'}"} ${total}`);
  }
  const suffix = labels === '' ? '' : `{${labels}}`;
  lines.push(`${name}_sum${suffix} ${cell.sum}`, `${name}_count${suffix} ${total}`);
}

function renderLabels(labels: Labels): string {
  const parts: string[] = [];
  for (const name in labels) {
    const value = (labels[name] as string).replace(/\\/g, '\\\\').replace(/\n/g, '\\n').replace(/"/g, '\\"');
    parts.push(`${name}="${value}"`);
  }
  return parts.join(',');
}

/** Latency buckets in milliseconds that third parties query (`response_latency_ms`): 1 … 50 000 in 1-2-3-4-5 steps. */
export const latencyBucketsMs: readonly number[] = [1, 10, 100, 1000, 10_000].flatMap((decade) =>
  [1, 2, 3, 4, 5].map((step) => step * decade),
);
