import type { Random } from '@mesh/clock/clock';
import type { BlockCoverage } from './block-coverage.ts';
import { mutate } from './mutation.ts';
import type { FuzzTarget } from './target.ts';

export interface FuzzerOptions {
  target: FuzzTarget;
  random: Random;
  coverage: BlockCoverage;
  /** Told of each input before it runs, so that a hang or a crash can be blamed on it. */
  onInput: (input: Buffer) => void;
}

/** Inputs run between two readings of the coverage while nothing new turns up. */
const mostBatch = 512;

/** Finds inputs that reach code, or counts of it, that no input before them did. */
export class Fuzzer {
  readonly #target: FuzzTarget;
  readonly #random: Random;
  readonly #coverage: BlockCoverage;
  readonly #onInput: (input: Buffer) => void;
  readonly #mostBytes: number;
  readonly #corpus: Buffer[] = [];
  readonly #seen: Set<number> = new Set();
  readonly #blocks: Set<number> = new Set();
  #batch = 16;
  /** Runs so far. */
  executions = 0;

  constructor({ target, random, coverage, onInput }: FuzzerOptions) {
    this.#target = target;
    this.#random = random;
    this.#coverage = coverage;
    this.#onInput = onInput;
    this.#mostBytes = target.mostBytes ?? 4096;
    coverage.take();
  }

  /** Features seen. */
  get features(): number {
    return this.#seen.size;
  }

  get corpus(): readonly Buffer[] {
    return this.#corpus;
  }

  /** Runs an input and keeps it when it brings something new; true if so. Rejects with the target's fault. */
  async add(input: Buffer): Promise<boolean> {
    await this.#run(input);
    const before = this.#seen.size;
    for (const feature of this.#coverage.take()) {
      this.#seen.add(feature);
      this.#blocks.add(feature >> 3);
    }
    if (this.#seen.size === before) return false;
    this.#corpus.push(input);
    return true;
  }

  /** The few of `inputs`, small ones first, that together reach every block that the corpus does not. */
  async distil(inputs: readonly Buffer[]): Promise<Buffer[]> {
    const kept: Buffer[] = [];
    for (const input of [...inputs].sort((left, right) => left.length - right.length)) {
      await this.#run(input);
      const features = this.#coverage.take();
      if (!features.some((feature) => this.#isNewBlock(feature))) continue;
      for (const feature of features) this.#blocks.add(feature >> 3);
      kept.push(input);
    }
    return kept;
  }

  /** Runs one batch of mutated inputs and returns those that were kept. */
  async step(): Promise<Buffer[]> {
    const kept = await this.#sift(Array.from({ length: this.#batch }, () => this.#mutated()));
    this.#batch = kept.length > 0 ? Math.max(8, this.#batch >> 1) : Math.min(mostBatch, this.#batch * 2);
    return kept;
  }

  /** Those of `inputs` that reach a new block, found by halves: most batches hold none. */
  async #sift(inputs: readonly Buffer[]): Promise<Buffer[]> {
    const [only] = inputs;
    if (only === undefined) return [];
    if (inputs.length === 1) return (await this.add(only)) ? [only] : [];
    for (const input of inputs) await this.#run(input);
    // Sums over a batch reach counts that no single input does, so that only a new block is worth a closer look.
    if (!this.#coverage.take().some((feature) => this.#isNewBlock(feature))) return [];
    const half = inputs.length >> 1;
    return [...(await this.#sift(inputs.slice(0, half))), ...(await this.#sift(inputs.slice(half)))];
  }

  #isNewBlock(feature: number): boolean {
    return !this.#blocks.has(feature >> 3);
  }

  #mutated(): Buffer {
    const { length } = this.#corpus;
    const pick = (): Buffer => this.#corpus[Math.floor(this.#random.next() * length)] ?? Buffer.alloc(0);
    // Newer inputs reach deeper code: half of the time one of the last sixteenth is taken.
    const recent = this.#corpus[length - 1 - Math.floor(this.#random.next() * Math.ceil(length / 16))];
    const input = this.#random.next() < 0.5 && recent !== undefined ? recent : pick();
    return mutate(input, {
      random: this.#random,
      mostBytes: this.#mostBytes,
      dictionary: this.#target.dictionary ?? [],
      other: pick(),
    });
  }

  async #run(input: Buffer): Promise<void> {
    this.executions += 1;
    this.#onInput(input);
    const running = this.#target.run(input);
    if (running !== undefined) await running;
  }
}
