import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options?: { type: 'minor' }) => void;

/** Bytes of this process that garbage collection does not give back: objects and buffers. */
export function retainedBytes(): number {
  collector()();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** The same, when buffers that were let go of are swept: that goes on on other threads, and the next collection waits for it. */
export function sweptBytes(): number {
  retainedBytes();
  return retainedBytes();
}

/**
 * Bytes that grow old while `churn` runs many times, a collection of the young generation after each: what it lets go of at
 * once leaves none. The least of several tries, since what else the process does grows old, too.
 */
export async function agedBytes(churn: () => void | Promise<void>): Promise<number> {
  const collect = collector();
  let least = Number.POSITIVE_INFINITY;
  for (let time = 0; time < 3; time++) {
    collect();
    const before = oldBytes();
    for (let round = 0; round < 100; round++) {
      await churn();
      collect({ type: 'minor' });
    }
    least = Math.min(least, oldBytes() - before);
  }
  return least;
}

function oldBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space')?.space_used_size ?? 0;
}

function collector(): Collect {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}
