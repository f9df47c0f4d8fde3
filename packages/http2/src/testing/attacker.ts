import type { Socket } from 'node:net';
import { type Frame, framesIn, GOAWAY, preface, RST_STREAM, settings } from './raw-peer.ts';

/** A client on a real socket that says what a test wants and does not care for answers. */
export class Attacker {
  readonly #socket: Socket;
  readonly #received: Buffer[] = [];
  readonly #over: Promise<unknown>;
  /** Bytes sent. */
  sent = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#received.push(chunk));
    this.#over = new Promise((resolve) => {
      socket.on('end', resolve);
      socket.on('close', resolve);
    });
  }

  /** Sends the preface with these settings; the caller sees to the end of the socket. */
  static async over(socket: Socket, ...pairs: [id: number, value: number][]): Promise<Attacker> {
    socket.on('error', () => {});
    const attacker = new Attacker(socket);
    await attacker.send(preface, settings(...pairs));
    return attacker;
  }

  get gone(): boolean {
    return this.#socket.closed || this.#socket.readableEnded;
  }

  get frames(): Frame[] {
    return framesIn(Buffer.concat(this.#received));
  }

  /** Error code of the last GOAWAY, if any. */
  get goawayCode(): number | undefined {
    return this.frames.findLast(({ type }) => type === GOAWAY)?.payload.readUInt32BE(4);
  }

  get resets(): number[] {
    return this.frames
      .filter(({ type }) => type === RST_STREAM)
      .map(({ payload }) => payload.readUInt32BE(0));
  }

  async send(...parts: Buffer[]): Promise<void> {
    if (this.gone || this.#socket.writableEnded) return;
    const bytes = Buffer.concat(parts);
    this.sent += bytes.length;
    if (this.#socket.write(bytes)) return;
    await Promise.race([new Promise((resolve) => this.#socket.once('drain', resolve)), this.#over]);
  }

  /** Sends rounds until all are sent or the server ends the connection; returns how many went out. */
  async flood(rounds: number, round: (index: number) => Buffer): Promise<number> {
    let index = 0;
    while (index < rounds && !this.gone) {
      const batch = Array.from({ length: Math.min(50, rounds - index) }, (_, offset) =>
        round(index + offset),
      );
      index += batch.length;
      await this.send(...batch);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return index;
  }

  /** Reads nothing from here on. */
  stopReading(): void {
    this.#socket.pause();
  }

  /** The server ended the connection. */
  async ended(): Promise<void> {
    await this.#over;
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
