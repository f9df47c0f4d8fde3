/** Many requests whose answers say which one they belong to. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { systemClock } from '@mesh/clock/system';

interface TaggedOptions {
  readonly requests: number;
  readonly perSecond: number;
}

/** Small batches: a large one would be a burst, which is another attack. */
const betweenBatchesMs = 1;

/** One connection of HTTP/1 with one request under way. */
class TaggedClient {
  readonly #socket: Socket;
  #answer = '';
  #tag = '';
  #done: ((fault?: Error) => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('close', () => this.#settle(new Error(`no answer for ${this.#tag}`)));
  }

  get busy(): boolean {
    return this.#done !== undefined;
  }

  /** Resolves when exactly the tag came back. */
  ask(tag: string): Promise<void> {
    this.#tag = tag;
    this.#answer = '';
    this.#socket.write(`GET ${tag} HTTP/1.1\r\nhost: a\r\n\r\n`);
    return new Promise((resolve, reject) => {
      this.#done = (fault) => {
        if (fault === undefined) resolve();
        else reject(fault);
      };
    });
  }

  #onData(chunk: Buffer): void {
    this.#answer += chunk.toString('latin1');
    const head = this.#answer.indexOf('\r\n\r\n');
    const body = this.#answer.slice(head + 4);
    if (head < 0 || body.length < this.#tag.length) return;
    const own = this.#answer.startsWith('HTTP/1.1 200 ') && body === this.#tag;
    this.#settle(own ? undefined : new Error(`the answer for ${this.#tag} is ${this.#answer}`));
  }

  #settle(fault?: Error): void {
    const done = this.#done;
    this.#done = undefined;
    done?.(fault);
  }
}

/**
 * Sends requests at a rate, each on a connection that has none under way; one that finds none waits for the next batch.
 * @throws when an answer is another's, or none comes
 */
export async function askTagged(sockets: readonly Socket[], options: TaggedOptions): Promise<void> {
  const clients = sockets.map((socket) => new TaggedClient(socket));
  const { perSecond } = options;
  const faults: unknown[] = [];
  const start = systemClock.now();
  const count = { sent: 0, answered: 0 };
  while (count.answered < options.requests && faults.length === 0) {
    const due = Math.min(options.requests, ((systemClock.now() - start) * perSecond) / 1000);
    for (const client of clients) {
      if (count.sent >= due) break;
      if (client.busy) continue;
      client.ask(`/tag/${count.sent++}`).then(
        () => count.answered++,
        (fault: unknown) => faults.push(fault),
      );
    }
    await new Promise<void>((resolve) => void systemClock.after(betweenBatchesMs, resolve));
  }
  assert.deepEqual(faults, []);
}
