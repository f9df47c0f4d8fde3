/** Reads a growing log line by line, through rotation, no faster than its reader wants. */
import { watch } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

interface LogReaderOptions {
  path: string;
  chunkBytes: number;
  /** Takes whole lines, without their ends; false stops. */
  onLines: (lines: readonly string[]) => Promise<boolean>;
}

export class LogReader {
  readonly #options: LogReaderOptions;
  #file: FileHandle | undefined;
  #offset = 0;
  #rest = '';
  #decoder = new TextDecoder();

  constructor(options: LogReaderOptions) {
    this.#options = options;
  }

  /** From the first of the last `tailLines` lines (undefined: of all) to the present end. False when told to stop. */
  async readToEnd(tailLines: number | undefined): Promise<boolean> {
    this.#file = await open(this.#options.path);
    if (tailLines !== undefined) this.#offset = await this.#tail(this.#file, tailLines);
    return await this.#advance();
  }

  /** What was appended since, to the present end. False when told to stop. */
  async readOn(): Promise<boolean> {
    return await this.#advance();
  }

  /** Goes on with what is appended, until `signal` aborts or `onLines` says stop. */
  async follow(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { path } = this.#options;
    await new Promise<void>((resolve, reject) => {
      // The directory, because rotation puts another file in place of the one that is open.
      const watcher = watch(dirname(path), (_event, name) => {
        if (name === basename(path)) advance();
      });
      let again = false;
      let running: Promise<void> | undefined;
      const close = (): void => {
        watcher.close();
        signal.removeEventListener('abort', end);
      };
      const fail = (error: unknown): void => {
        close();
        reject(error);
      };
      const end = (): void => {
        close();
        // A read that has begun must end before the file is closed.
        if (running === undefined) resolve();
        else void running.then(resolve);
      };
      const read = async (): Promise<void> => {
        while (again && !signal.aborted) {
          again = false;
          if (!(await this.#advance())) end();
        }
        running = undefined;
      };
      const advance = (): void => {
        again = true;
        if (running !== undefined) return;
        running = read();
        running.catch(fail);
      };
      watcher.on('error', fail);
      signal.addEventListener('abort', end);
      advance();
    });
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  async #advance(): Promise<boolean> {
    for (;;) {
      if (this.#file === undefined || !(await this.#drain(this.#file))) return false;
      const current = await this.#file.stat();
      const named = await stat(this.#options.path).catch(() => undefined);
      if (named === undefined || named.ino === current.ino) return true;
      await this.#file.close();
      this.#file = await open(this.#options.path);
      this.#offset = 0;
    }
  }

  async #drain(file: FileHandle): Promise<boolean> {
    const chunk = Buffer.alloc(this.#options.chunkBytes);
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, chunk.length, this.#offset);
      if (bytesRead === 0) return true;
      this.#offset += bytesRead;
      const text = this.#rest + this.#decoder.decode(chunk.subarray(0, bytesRead), { stream: true });
      const lines = text.split('\n');
      this.#rest = lines.pop() ?? '';
      if (lines.length > 0 && !(await this.#options.onLines(lines))) return false;
    }
  }

  /** Offset of the first of the last `wanted` lines, read backwards. Only whole lines count. */
  async #tail(file: FileHandle, wanted: number): Promise<number> {
    const { size } = await file.stat();
    const chunk = Buffer.alloc(this.#options.chunkBytes);
    let ends = 0;
    for (let end = size; end > 0; ) {
      const start = Math.max(0, end - chunk.length);
      const { bytesRead } = await file.read(chunk, 0, end - start, start);
      for (let index = bytesRead - 1; index >= 0; index--) {
        if (chunk[index] !== 0x0a) continue;
        // The end of the line before the first wanted one.
        if (ends === wanted) return start + index + 1;
        ends++;
      }
      end = start;
    }
    return 0;
  }
}
