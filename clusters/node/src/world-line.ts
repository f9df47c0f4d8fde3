import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { MeshError } from '@mesh/errors/mesh-error';

/**
 * Resolves when `line` arrives.
 * @throws MeshError local-clusters when the stream ends before
 */
export async function waitForLine(stream: Readable, line: string): Promise<void> {
  const lines = createInterface({ input: stream });
  const closed = once(lines, 'close').then(() => {
    throw new MeshError('local-clusters', `the stream ended before ${JSON.stringify(line)}`);
  });
  const found = new Promise<void>((resolve) => {
    lines.on('line', (text) => {
      if (text === line) resolve();
    });
  });
  try {
    await Promise.race([found, closed]);
  } finally {
    closed.catch(() => {});
    lines.close();
  }
}
