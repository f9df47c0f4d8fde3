/** What a process used, from /proc. */
import { readFileSync } from 'node:fs';

/** USER_HZ, fixed in the kernel's interface on x86 and arm64. */
const ticksPerSecond = 100;

/**
 * CPU time in µs of a process: user and system time of all its threads, living and ended, in steps of 10 ms
 * (proc_pid_stat(5), fields 14 and 15).
 */
export function cpuMicros(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The second field is the name in parentheses, which may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1e6) / ticksPerSecond;
}

/**
 * How long the main thread of a process was ready to run and did not, in milliseconds since its start (the kernel's
 * Documentation/scheduler/sched-stats.rst): what other processes cost it.
 */
export function waitedMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')[1]) / 1e6;
}

/** The process and all its descendants: nginx has a master and a worker. */
export function processTree(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
  return [pid, ...(children === '' ? [] : children.split(' ').map(Number).flatMap(processTree))];
}

export interface MemoryUse {
  /** Pages of its own, in bytes. */
  readonly privateBytes: number;
  readonly residentBytes: number;
}

/** From /proc/PID/smaps_rollup. */
export function memoryUse(pid: number): MemoryUse {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  const bytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024;
  return {
    privateBytes: bytes('Private_Clean') + bytes('Private_Dirty'),
    residentBytes: bytes('Rss'),
  };
}

/** What of a process' private memory is what; the rest is the engine's heap and stacks, above all. */
export interface MemoryParts {
  /** Machine code that the engine made. */
  readonly codeBytes: number;
  /** Of the C library's allocator: what TLS, buffers and the compiler use. */
  readonly mallocBytes: number;
}

/** From /proc/PID/smaps: private pages of anonymous mappings that may be executed, and of `[heap]`. */
export function memoryParts(pid: number): MemoryParts {
  let [codeBytes, mallocBytes] = [0, 0];
  for (const mapping of readFileSync(`/proc/${pid}/smaps`, 'latin1').split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)) {
    const [head = ''] = mapping.split('\n', 1);
    const isCode = /^\S+ ..x. \S+ 00:00 0\s*$/.test(head);
    const isMalloc = head.endsWith('[heap]');
    if (!isCode && !isMalloc) continue;
    let bytes = 0;
    for (const [, kilobytes] of mapping.matchAll(/^Private_(?:Clean|Dirty): +(\d+) kB$/gm)) {
      bytes += Number(kilobytes) * 1024;
    }
    if (isCode) codeBytes += bytes;
    else mallocBytes += bytes;
  }
  return { codeBytes, mallocBytes };
}

/** Sum over several processes. */
export function sumOf(pids: readonly number[], measure: (pid: number) => number): number {
  let sum = 0;
  for (const pid of pids) sum += measure(pid);
  return sum;
}
