import { readFileSync } from 'node:fs';

/** The first child of a process: what nsenter or unshare forked to enter a PID namespace. */
export function onlyChild(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined;
  try {
    const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    return first === undefined || first === '' ? undefined : Number(first);
  } catch {
    return undefined;
  }
}
