/** Proportional memory (PSS) of this machine's processes that belong to the local clusters, by proc(5) smaps_rollup. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Sum over this process and every process that has `stateDir` or our bundles in its command line, MiB. */
export function proportionalMemoryMiB(bundles: string): number {
  let kib = 0;
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const command = readFileSync(`/proc/${entry}/cmdline`, 'utf8');
      const ours =
        command.includes(bundles) ||
        command.includes('/opt/mesh/') ||
        readlinkSync(`/proc/${entry}/exe`) === process.execPath;
      if (!ours) continue;
      const rollup = readFileSync(`/proc/${entry}/smaps_rollup`, 'utf8');
      kib += Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0);
    } catch {
      // It ended meanwhile, or is another user's.
    }
  }
  return Math.round(kib / 1024);
}
