/**
 * Metric cells for hot paths and their exposition (Prometheus text format 0.0.4).
 *
 * A cell is looked up once per label set and then incremented directly: no map look-up, no string and no allocation
 * per event. Pages are rendered from the cells at scrape time.
 */

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

/** One metric name with its cells, one per label set. `maxSeries` bounds label sets; the rest share one cell. */
export class Family<C extends Cell> {
  readonly name: string;
  readonly help: string;
  readonly kind: Kind;
  /** For gauges; counters and histograms always add up. */
  readonly merge: GaugeMerge;
  readonly #make: () => C;
  readonly #cells: Map<string, C> = new Map();
  readonly #maxSeries: number;
  #overflow: C | undefined;

  constructor(
    name: string,
    help: string,
    kind: Kind,
    make: () => C,
    { maxSeries, merge = 'sum' }: { maxSeries: number; merge?: GaugeMerge },
  ) {
    this.name = name;
    this.help = help;
    this.kind = kind;
    this.merge = merge;
    this.#make = make;
    this.#maxSeries = maxSeries;
  }

  /** The cell of this label set, made at first use. Keep it; do not call this per event. */
  with(labels: Labels = {}): C {
    return this.rendered(renderLabels(labels));
  }

  /** Whether there is a cell for a label set as `series` gives it. */
  has(key: string): boolean {
    return key === overflowLabels ? this.#overflow !== undefined : this.#cells.has(key);
  }

  /** The cell of a label set as `series` gives it. */
  rendered(key: string): C {
    if (key === overflowLabels) return (this.#overflow ??= this.#make());
    const known = this.#cells.get(key);
    if (known !== undefined) return known;
    if (this.#cells.size >= this.#maxSeries) {
      this.#overflow ??= this.#make();
      return this.#overflow;
    }
    const cell = this.#make();
    this.#cells.set(key, cell);
    return cell;
  }

  /** Forgets one label set, for things that are gone. */
  remove(labels: Labels): void {
    this.#cells.delete(renderLabels(labels));
  }

  /** Rendered label text and cell of each series; the overflow cell carries `overflow="true"`. */
  *series(): IterableIterator<[string, C]> {
    yield* this.#cells;
    if (this.#overflow !== undefined) yield [overflowLabels, this.#overflow];
  }
}

/** All families of one process. */
export class MetricRegistry {
  readonly #families: Map<string, Family<Cell>> = new Map();
  readonly #collectors: (() => void)[] = [];

  counter(name: string, help: string, maxSeries = 10_000): Family<Counter> {
    return this.#add(new Family<Counter>(name, help, 'counter', () => new Counter(), { maxSeries }));
  }

  gauge(
    name: string,
    help: string,
    { maxSeries = 10_000, merge }: { maxSeries?: number; merge?: GaugeMerge } = {},
  ): Family<Gauge> {
    return this.#add(
      new Family<Gauge>(name, help, 'gauge', () => new Gauge(), {
        maxSeries,
        ...(merge === undefined ? {} : { merge }),
      }),
    );
  }

  histogram(name: string, help: string, bounds: readonly number[], maxSeries = 2_000): Family<Histogram> {
    return this.#add(
      new Family<Histogram>(name, help, 'histogram', () => new Histogram(bounds), { maxSeries }),
    );
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
