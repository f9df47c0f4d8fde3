/**
 * Buffers that are used again. Memory outside the engine's heap that is allocated for each read and left to the
 * garbage collector makes it run all the time: while bytes were copied that way, marking took a third of the processor.
 */
export const spareBufferBytes = 65_536;

/** For who moves much at once: a read and a write of this size cost the processor little more than the copies in the kernel. */
export const largeBufferBytes = 262_144;

/** Kept for the next user; more go to the garbage collector. */
const mostSpares = 64;
/** In use and kept, together 4 MiB: one transfer at a time has its turn, and who waits holds none. Others use small ones meanwhile. */
const mostLarge = 16;

const spares: Buffer[] = [];
const largeSpares: Buffer[] = [];
let largeCount = 0;

export function takeBuffer(): Buffer {
  return spares.pop() ?? Buffer.allocUnsafeSlow(spareBufferBytes);
}

/** Undefined when all are in use. */
export function takeLargeBuffer(): Buffer | undefined {
  const spare = largeSpares.pop();
  if (spare !== undefined || largeCount === mostLarge) return spare;
  largeCount++;
  return Buffer.allocUnsafeSlow(largeBufferBytes);
}

/** Of either size. Nobody may look at `buffer` any more. */
export function giveBuffer(buffer: Buffer): void {
  if (buffer.length === largeBufferBytes) largeSpares.push(buffer);
  else if (spares.length < mostSpares) spares.push(buffer);
}

/** For a buffer of either size that the system may still hold on to: it is not used again. */
export function loseBuffer(buffer: Buffer): void {
  if (buffer.length === largeBufferBytes) largeCount--;
}
