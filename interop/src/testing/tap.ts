/** A relay in front of a port that notes the bytes of both directions and may cut the first ones into pieces. */
import { createHash } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { listening } from '@mesh/testkit/servers';

export interface Tap {
  readonly port: number;
  /** SHA-256 and number of the bytes of all connections, by direction. */
  sums(): { readonly up: string; readonly down: string };
  /** First bytes that a client sent, once there are some. */
  first(): Buffer | undefined;
}

export interface TapOptions {
  /** What to send in place of a client's first bytes, piece by piece. */
  readonly cut?: (first: Buffer) => readonly Buffer[];
}

export async function startTap(
  test: TestContext,
  target: number,
  { cut = (first) => [first] }: TapOptions = {},
): Promise<Tap> {
  const hashes = { up: createHash('sha256'), down: createHash('sha256') };
  const bytes = { up: 0, down: 0 };
  let first: Buffer | undefined;
  const follow = (from: Socket, to: Socket, way: 'up' | 'down'): void => {
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroySoon());
    from.on('end', () => to.end());
    let begun = way === 'down';
    from.on('data', (chunk: Buffer) => {
      hashes[way].update(chunk);
      bytes[way] += chunk.length;
      if (begun) {
        to.write(chunk);
        return;
      }
      begun = true;
      first ??= chunk;
      from.pause();
      void inPieces(to, cut(chunk)).then(() => from.resume());
    });
  };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const upstream = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    test.after(() => upstream.destroy());
    follow(client, upstream, 'up');
    follow(upstream, client, 'down');
  });
  return {
    port: await listening(test, server),
    sums: () => ({
      up: `${bytes.up} ${hashes.up.copy().digest('hex')}`,
      down: `${bytes.down} ${hashes.down.copy().digest('hex')}`,
    }),
    first: () => first,
  };
}

async function inPieces(to: Socket, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    await new Promise((resolve) => to.write(piece, resolve));
    // Lets the reader have this piece alone.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  }
}
