/** Two ends of a connection with a path between them: a bandwidth, a delay, and a queue in front of the bandwidth. */
import type { FakeClock } from '@mesh/testkit/fake-clock';
import type { Transport, TransportUser } from '../transport.ts';
import { turn } from './raw-peer.ts';

export interface PathOptions {
  /** Bytes per millisecond, each way. */
  bytesPerMs: number;
  /** Half of the round trip. */
  delayMs: number;
}

/** Bytes that a socket takes before `write` says stop. */
const sendBufferBytes = 1_048_576;

class End implements Transport {
  readonly #link: SimulatedLink;
  readonly #path: PathOptions;
  #user: TransportUser | undefined;
  #freeAt = 0;
  #queued = 0;
  #blocked = false;
  other: End | undefined;
  /** Bytes that arrived here. */
  received = 0;

  constructor(link: SimulatedLink, path: PathOptions) {
    this.#link = link;
    this.#path = path;
  }

  attach(user: TransportUser): void {
    this.#user = user;
  }

  write(parts: Buffer[]): boolean {
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    this.#queued += bytes;
    this.#freeAt = Math.max(this.#freeAt, this.#link.clock.now()) + bytes / this.#path.bytesPerMs;
    this.#link.at(this.#freeAt, () => this.#left(bytes));
    this.#link.at(this.#freeAt + this.#path.delayMs, () => this.other?.deliver(parts));
    this.#blocked = this.#queued > sendBufferBytes;
    return !this.#blocked;
  }

  deliver(parts: Buffer[]): void {
    for (const part of parts) {
      this.received += part.length;
      this.#user?.receive(part, false);
    }
  }

  end(onFlushed: () => void): void {
    onFlushed();
  }

  destroy(): void {
    const user = this.#user;
    this.#user = undefined;
    user?.onClosed();
  }

  pause(): void {}

  resume(): void {}

  #left(bytes: number): void {
    this.#queued -= bytes;
    if (!this.#blocked || this.#queued > sendBufferBytes / 2) return;
    this.#blocked = false;
    this.#user?.onWritable();
  }
}

export class SimulatedLink {
  readonly clock: FakeClock;
  readonly left: End;
  readonly right: End;
  /** Sorted by time, then by order of creation. */
  readonly #events: { at: number; task: () => void }[] = [];

  constructor(clock: FakeClock, path: PathOptions) {
    this.clock = clock;
    this.left = new End(this, path);
    this.right = new End(this, path);
    this.left.other = this.right;
    this.right.other = this.left;
  }

  /** Calls `task` at a time of the clock. */
  at(time: number, task: () => void): void {
    let index = this.#events.length;
    while (index > 0 && (this.#events[index - 1]?.at ?? 0) > time) index -= 1;
    this.#events.splice(index, 0, { at: time, task });
  }

  /** Lets time pass until `done`, nothing is under way any more, or `untilMs` is reached. */
  async run(done: () => boolean, untilMs = Number.POSITIVE_INFINITY): Promise<void> {
    await turn();
    while (!done()) {
      const next = this.#events[0];
      if (next === undefined || next.at > untilMs) break;
      this.#events.shift();
      if (next.at > this.clock.now()) this.clock.advance(next.at - this.clock.now());
      next.task();
      await turn();
    }
    if (Number.isFinite(untilMs) && !done()) this.clock.advance(Math.max(0, untilMs - this.clock.now()));
  }
}
