/**
 * Pages of files that a program has read stay in its page tables: of the Node binary alone 45 MB, most of which only the start
 * needed. The kernel is told that they are not (madvise(2), MADV_DONTNEED). They stay in its cache, so what is used again comes back with a
 * minor fault for each 64 KiB, and from then on only that counts as resident.
 */
import { readFileSync } from 'node:fs';
import type { Clock, Timer } from '@mesh/clock/clock';
import { libcFunction } from './libc.ts';

/** Long enough for a sidecar to be ready: its certificate, its first requests for discovery. */
const releaseAfterMs = 2000;

/** MADV_DONTNEED of <asm-generic/mman-common.h>. */
const dontNeed = 4;

type Advise = (address: bigint, length: bigint, advice: number) => number;

/** Lets go of the pages of files that are only read. Does nothing where there is no `/proc`. */
export function releaseFilePages(): void {
  const mappings = readOnlyMappings();
  if (mappings.length === 0) return;
  const advise = libcFunction<Advise>('int madvise(uintptr_t address, size_t length, int advice)');
  // Refused (EINVAL) for what is locked in memory, which is as well.
  for (const { start, end } of mappings) advise(start, end - start, dontNeed);
}

/** Once, when a program that has just begun has settled; the timer keeps no process alive. */
export function releaseFilePagesOfStart(clock: Clock): Timer {
  return clock.after(releaseAfterMs, releaseFilePages, true);
}

interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
}

/** Mappings of files that cannot be written to and hold no page of their own, of proc_pid_smaps(5). */
function readOnlyMappings(): Mapping[] {
  return smaps()
    .split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)
    .flatMap((text) => {
      const file = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ [1-9]/.exec(text);
      // Relocations were written before their mapping became read-only: such pages are in no file, and would come back without them.
      if (file === null || !/^Anonymous: +0 kB$/m.test(text)) return [];
      return [{ start: BigInt(`0x${file[1]}`), end: BigInt(`0x${file[2]}`) }];
    });
}

function smaps(): string {
  try {
    return readFileSync('/proc/self/smaps', 'latin1');
  } catch {
    return '';
  }
}
