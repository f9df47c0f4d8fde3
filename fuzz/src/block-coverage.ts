import { type Profiler, Session } from 'node:inspector';

interface Block {
  id: number;
  start: number;
  end: number;
}

/**
 * Which blocks of our code ran, and about how often, from V8's own precise coverage (`Profiler` of the inspector).
 * A feature is one block with the order of magnitude of its count: `id * 8 + magnitude`, the same number in every reading
 * of one process. Reading the counters takes milliseconds, so that callers run many inputs between two readings.
 */
export class BlockCoverage {
  readonly #session: Session = new Session();
  readonly #covers: RegExp;
  /** Blocks known of each function. */
  readonly #functions: Map<string, Block[]> = new Map();
  #blocks = 0;

  /** `covers`: URLs of the scripts of interest. */
  constructor(covers: RegExp) {
    this.#covers = covers;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Features of all that ran since the last call, and resets the counters. */
  take(): number[] {
    const features: number[] = [];
    // Posted from the thread that is inspected, the answer comes before `post` returns.
    this.#session.post('Profiler.takePreciseCoverage', (fault, answer) => {
      if (fault !== null) throw new Error(`no coverage: ${fault.message}`);
      for (const { url, functions } of answer.result) {
        if (!this.#covers.test(url)) continue;
        for (const { ranges } of functions) this.#read(url, ranges, features);
      }
    });
    return features;
  }

  stop(): void {
    this.#session.disconnect();
  }

  /**
   * V8 names a range only where its count differs from that of the range around it. A block therefore stays known once
   * named, and has the count of the innermost range around it in each later reading.
   */
  #read(url: string, ranges: readonly Profiler.CoverageRange[], features: number[]): void {
    const [whole] = ranges;
    if (whole === undefined || whole.count === 0) return;
    const key = `${url} ${whole.startOffset} ${whole.endOffset}`;
    let blocks = this.#functions.get(key);
    if (blocks === undefined) {
      blocks = [];
      this.#functions.set(key, blocks);
    }
    for (const { startOffset, endOffset } of ranges) {
      if (blocks.some(({ start, end }) => start === startOffset && end === endOffset)) continue;
      blocks.push({ id: this.#blocks++, start: startOffset, end: endOffset });
    }
    for (const { id, start, end } of blocks) {
      const around = ranges.findLast((range) => range.startOffset <= start && range.endOffset >= end);
      if (around !== undefined && around.count > 0) features.push(id * 8 + magnitude(around.count));
    }
  }
}

/** 1, 2, 3, 4-7, 8-15, 16-31, 32-127, more. */
function magnitude(count: number): number {
  if (count <= 3) return count - 1;
  if (count < 8) return 3;
  if (count < 16) return 4;
  if (count < 32) return 5;
  return count < 128 ? 6 : 7;
}
