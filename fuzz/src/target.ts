/** What can be fuzzed: something that reads bytes of a peer. */
export interface FuzzTarget {
  /** Name on the command line and of the folder in `fuzz/corpus`. */
  readonly name: string;
  readonly what: string;
  /** Inputs are cut to this. Default 4096. */
  readonly mostBytes?: number;
  /** What an honest peer sends, to begin with. */
  readonly seeds: () => readonly Buffer[];
  /** Pieces that mean something here; mutations insert them. */
  readonly dictionary?: readonly Buffer[];
  /** Throws, or rejects, when the input was handled wrongly. Must not keep anything of the input. */
  readonly run: (input: Buffer) => void | Promise<void>;
}

/** The input as reads of a socket might bring it, cut in at most `most` places that its own bytes choose. */
export function cuts(input: Buffer, most = 8): Buffer[] {
  const places = new Set<number>();
  for (let index = 0; index < most && index < input.length; index++) {
    places.add(((input[index] as number) * (index + 7)) % input.length);
  }
  const sorted = [0, ...[...places].sort((left, right) => left - right), input.length];
  return sorted.slice(1).map((end, index) => input.subarray(sorted[index], end));
}
