const remembered = 256;

/**
 * Streams that we reset while the peer could still send: its frames that were under way are to be ignored, where
 * frames on any other closed stream are an error (RFC 9113 §5.1).
 */
export class ResetMemory {
  readonly #recent: Set<number> = new Set();
  /** Streams up to here may have been forgotten; they get the benefit of the doubt. */
  #forgottenTo = 0;

  add(streamId: number): void {
    this.#recent.add(streamId);
    if (this.#recent.size <= remembered) return;
    for (const oldest of this.#recent) {
      this.#recent.delete(oldest);
      this.#forgottenTo = Math.max(this.#forgottenTo, oldest);
      return;
    }
  }

  has(streamId: number): boolean {
    return streamId <= this.#forgottenTo || this.#recent.has(streamId);
  }
}
