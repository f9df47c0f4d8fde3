import { closeSync, existsSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import type { Readable } from 'node:stream';
import type { Clock } from '@mesh/clock/clock';
import { nodeLimits } from './limits.ts';

interface ContainerLogOptions {
  /** NAMESPACE/POD/CONTAINER.log; rotated to the same name with `.1`. */
  file: string;
  maxBytes: number;
  clock: Clock;
}

/** Longest line kept in one piece; longer ones are marked partial, as container runtimes do. */
const maxLine = nodeLimits.node_log_line_bytes.default;

/**
 * Log of one container: `2026-01-01T00:00:00.000000000Z stdout F text`, one entry per line, the format that
 * container runtimes write (`F` full line, `P` part of a longer one).
 */
export class ContainerLog {
  readonly #file: string;
  readonly #maxBytes: number;
  readonly #clock: Clock;
  #fd: number;
  #size: number;

  constructor({ file, maxBytes, clock }: ContainerLogOptions) {
    this.#file = file;
    this.#maxBytes = maxBytes;
    this.#clock = clock;
    mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
    this.#fd = openSync(file, 'a', 0o644);
    this.#size = fstatSync(this.#fd).size;
  }

  /** Follows a stream until it ends; resolves when its last line is written. */
  follow(stream: Readable, name: 'stdout' | 'stderr'): Promise<void> {
    const decoder = new StringDecoder('utf8');
    let rest = '';
    stream.on('data', (chunk: Buffer) => {
      rest += decoder.write(chunk);
      const lines = rest.split('\n');
      rest = lines.pop() ?? '';
      let entries = '';
      for (const line of lines) entries += this.#entry(name, line, 'F');
      while (rest.length > maxLine) {
        entries += this.#entry(name, rest.slice(0, maxLine), 'P');
        rest = rest.slice(maxLine);
      }
      if (entries !== '') this.#write(entries);
    });
    return new Promise((resolve) => {
      const finish = (): void => {
        if (rest !== '') this.#write(this.#entry(name, rest, 'F'));
        rest = '';
        resolve();
      };
      stream.once('end', finish);
      stream.once('error', finish);
      stream.once('close', finish);
    });
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #entry(stream: string, line: string, tag: 'F' | 'P'): string {
    const stamp = `${new Date(this.#clock.wall()).toISOString().slice(0, -1)}000000Z`;
    return `${stamp} ${stream} ${tag} ${line}\n`;
  }

  #write(entries: string): void {
    if (this.#fd < 0) return;
    try {
      if (this.#size + entries.length > this.#maxBytes && this.#size > 0) this.#rotate();
      this.#size += writeSync(this.#fd, entries);
    } catch {
      // A full disk, or a directory that somebody removed, costs lines of this log, and not the node with all its pods.
    }
  }

  #rotate(): void {
    mkdirSync(dirname(this.#file), { recursive: true, mode: 0o755 });
    if (existsSync(this.#file)) renameSync(this.#file, `${this.#file}.1`);
    const fresh = openSync(this.#file, 'a', 0o644);
    closeSync(this.#fd);
    this.#fd = fresh;
    this.#size = 0;
  }
}
