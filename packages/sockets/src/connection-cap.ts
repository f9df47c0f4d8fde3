/** How many clients a listener has at once, whatever they do or do not say: also those that sent nothing yet. */
import { readFileSync } from 'node:fs';
import type { Server } from 'node:net';

/** Sockets of the control plane, the admin page, files: what is open besides connections that are forwarded. */
const otherFiles = 64;

/** Connections beyond `most` are closed as they arrive; `onRefused` is called for each. */
export function capConnections(server: Server, most: number, onRefused: () => void): void {
  server.maxConnections = most;
  // Among several workers of `node:cluster` one that is full would hand the connection round without end.
  Object.assign(server, { dropMaxConnection: true });
  server.on('drop', onRefused);
}

/**
 * `most`, or what each of `listeners` can have before the process runs out of descriptors, where that is less: every
 * connection may need a second one to where it goes. (Without descriptors nothing new can be dialled for anybody.)
 */
export function connectionsThatFit(
  most: number,
  listeners: number,
  openFiles: number = openFileLimit(),
): number {
  return Math.max(1, Math.min(most, Math.floor((openFiles - otherFiles) / (2 * listeners))));
}

/** Descriptors that this process may have open (RLIMIT_NOFILE); Infinity where the kernel does not say. */
export function openFileLimit(): number {
  try {
    const line = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'));
    return line?.[1] === undefined ? Number.POSITIVE_INFINITY : Number(line[1]);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
