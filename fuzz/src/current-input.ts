/**
 * The input that a worker runs at this moment, in memory that both threads see: when the worker hangs or dies of memory,
 * the main thread still knows what did it.
 */
export class CurrentInput {
  readonly shared: SharedArrayBuffer;
  /** Number of the run, length of its input. */
  readonly #numbers: Int32Array;
  readonly #bytes: Buffer;

  constructor(mostBytes: number, shared: SharedArrayBuffer = new SharedArrayBuffer(8 + mostBytes)) {
    this.shared = shared;
    this.#numbers = new Int32Array(shared, 0, 2);
    this.#bytes = Buffer.from(shared, 8);
  }

  set(input: Buffer): void {
    input.copy(this.#bytes);
    Atomics.store(this.#numbers, 1, input.length);
    Atomics.add(this.#numbers, 0, 1);
  }

  /** Changes with each run. */
  get run(): number {
    return Atomics.load(this.#numbers, 0);
  }

  get bytes(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, Atomics.load(this.#numbers, 1)));
  }
}
