/**
 * Buffers of one size that are used again. Memory outside the engine's heap that is allocated for each read and left to the
 * garbage collector makes it run all the time: while bytes were copied that way, marking took a third of the processor.
 */
export const spareBufferBytes = 65_536;

/** Kept for the next user; more go to the garbage collector. */
const mostSpares = 64;
const spares: Buffer[] = [];

export function takeBuffer(): Buffer {
  return spares.pop() ?? Buffer.allocUnsafeSlow(spareBufferBytes);
}

/** Nobody may look at `buffer` any more. */
export function giveBuffer(buffer: Buffer): void {
  if (spares.length < mostSpares) spares.push(buffer);
}
