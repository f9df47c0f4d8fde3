/** Samples of `perf script --fields=comm,ip,sym,dso`: a line with the thread, then one for each frame, innermost first. */
import type { CompiledFunctions } from './compiled-functions.ts';

export interface Frame {
  /** As perf names it; of compiled JavaScript as V8 does: `JS:*name file:///path.ts:line:column`. */
  readonly symbol: string;
  /** File that it is in; the kernel's begins with a bracket. */
  readonly object: string;
}

const frameLine = /^\s+([0-9a-f]+) (.*) \((.*)\)$/;
const unknown = '[unknown]';

/** @param lines without line ends */
export async function* stacksOf(
  lines: AsyncIterable<string>,
  compiled: CompiledFunctions,
): AsyncGenerator<Frame[]> {
  let stack: Frame[] = [];
  for await (const line of lines) {
    const [, address, symbol, object] = frameLine.exec(line) ?? [];
    if (address !== undefined && symbol !== undefined && object !== undefined) {
      const name = symbol === unknown ? compiled.at(Number.parseInt(address, 16)) : undefined;
      stack.push(name === undefined ? { symbol, object } : { symbol: name, object: 'V8' });
    } else {
      if (stack.length > 0) yield stack;
      stack = [];
    }
  }
  if (stack.length > 0) yield stack;
}
