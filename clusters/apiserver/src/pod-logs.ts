/**
 * Container logs, read from `DIR/NAMESPACE_POD_UID/CONTAINER.log`, where the node writes them (`CONTAINER.previous.log`
 * for the run before). Lines are as the container wrote them, or in the CRI form `TIME stdout|stderr F|P TEXT`.
 */
import { createReadStream, watch, type FSWatcher } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServerResponse } from 'node:http';
import type { LimitLedger } from '@mesh/limits/limits';
import type { ResourceExchange } from './exchange.ts';
import { listAt, textAt } from './json.ts';
import type { ApiserverLimit } from './limits.ts';
import type { KubeObject } from './object.ts';
import { badRequest } from './status.ts';

interface LogOptions {
  readonly timestamps: boolean;
  readonly sinceMs: number | undefined;
  readonly tailLines: number | undefined;
  readonly limitBytes: number | undefined;
}

const criLine = /^(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)) (?:stdout|stderr) [FP] ?/;

function containerOf(pod: KubeObject, wanted: string): string {
  const regular = listAt(pod, 'spec', 'containers').map((item) => textAt(item, 'name') ?? '');
  const all = [
    ...regular,
    ...listAt(pod, 'spec', 'initContainers').map((item) => textAt(item, 'name') ?? ''),
  ];
  const name = pod.metadata.name;
  if (wanted === '') {
    const [only] = regular;
    if (only !== undefined && regular.length === 1) return only;
    throw badRequest(`a container name must be specified for pod ${name}, choose one of: [${all.join(' ')}]`);
  }
  if (!all.includes(wanted)) throw badRequest(`container ${wanted} is not valid for pod ${name}`);
  return wanted;
}

/** The line as the client wants it, or undefined when it is too old. */
function present(line: string, { timestamps, sinceMs }: LogOptions): string | undefined {
  const match = criLine.exec(line);
  if (match === null) return line;
  const time = match[1] ?? '';
  if (sinceMs !== undefined && Date.parse(time) < sinceMs) return undefined;
  const text = line.slice(match[0].length);
  return timestamps ? `${time} ${text}` : text;
}

/** Offset at which the last `lines` lines begin, read backwards. */
async function tailOffset(path: string, lines: number, chunkSize: number): Promise<number> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const chunk = Buffer.alloc(Math.min(chunkSize, size));
    let end = size;
    // The newline that ends the last line does not begin another one.
    let wanted = lines + 1;
    while (end > 0 && lines > 0) {
      const start = Math.max(0, end - chunk.length);
      const { bytesRead } = await file.read(chunk, 0, end - start, start);
      for (let index = bytesRead - 1; index >= 0; index--) {
        const isEnd = chunk[index] === 0x0a;
        if (start + index === size - 1 && !isEnd) wanted--;
        if (isEnd && --wanted === 0) return start + index + 1;
      }
      end = start;
    }
    return lines === 0 ? size : 0;
  } finally {
    await file.close();
  }
}

export class PodLogs {
  readonly #directory: string;
  readonly #limits: LimitLedger<ApiserverLimit>;
  readonly #wall: () => number;

  constructor(options: { directory: string; limits: LimitLedger<ApiserverLimit>; wall: () => number }) {
    this.#directory = options.directory;
    this.#limits = options.limits;
    this.#wall = options.wall;
  }

  /** @throws ApiError 400 */
  async serve({ info, response }: ResourceExchange, pod: KubeObject): Promise<void> {
    const { query } = info;
    const container = containerOf(pod, query.get('container') ?? '');
    const { name, namespace, uid } = pod.metadata;
    const previous = query.get('previous') === 'true';
    const file = `${container}${previous ? '.previous' : ''}.log`;
    const path = join(this.#directory, `${namespace ?? ''}_${name}_${uid}`, file);
    const number = (parameter: string): number | undefined => {
      const text = query.get(parameter);
      if (text === null) return undefined;
      if (!/^\d+$/.test(text)) throw badRequest(`${parameter} ${JSON.stringify(text)} is not a number`);
      return Number(text);
    };
    const sinceSeconds = number('sinceSeconds');
    const sinceTime = query.get('sinceTime');
    const options: LogOptions = {
      timestamps: query.get('timestamps') === 'true',
      tailLines: number('tailLines'),
      limitBytes: number('limitBytes'),
      sinceMs:
        sinceSeconds === undefined
          ? sinceTime === null
            ? undefined
            : Date.parse(sinceTime)
          : this.#wall() - sinceSeconds * 1000,
    };
    try {
      await stat(path);
    } catch {
      throw badRequest(
        previous
          ? `previous terminated container "${container}" in pod "${name}" not found`
          : `container "${container}" in pod "${name}" is waiting to start: ContainerCreating`,
      );
    }
    const chunk = this.#limits.values['log-chunk'];
    const start = options.tailLines === undefined ? 0 : await tailOffset(path, options.tailLines, chunk);
    response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-cache, private' });
    response.flushHeaders();
    const copy = new LogCopy({ path, response, chunk, options });
    await copy.run(start);
    if (query.get('follow') === 'true' && !previous) await copy.follow();
    response.end();
  }
}

/** Copies a growing file to a response line by line, no faster than the client reads. */
class LogCopy {
  readonly #path: string;
  readonly #response: ServerResponse;
  readonly #chunk: number;
  readonly #options: LogOptions;
  #offset = 0;
  #rest = '';
  #left: number;

  constructor(setup: { path: string; response: ServerResponse; chunk: number; options: LogOptions }) {
    this.#path = setup.path;
    this.#response = setup.response;
    this.#chunk = setup.chunk;
    this.#options = setup.options;
    this.#left = setup.options.limitBytes ?? Number.POSITIVE_INFINITY;
  }

  async run(start: number): Promise<void> {
    this.#offset = start;
    await this.#advance();
    if (this.#rest !== '') await this.#write(`${this.#rest}`);
    this.#rest = '';
  }

  /** Until the client goes away or the file is removed. */
  async follow(): Promise<void> {
    let watcher: FSWatcher;
    try {
      watcher = watch(this.#path);
    } catch {
      return;
    }
    await new Promise<void>((resolve) => {
      let busy = false;
      let again = false;
      const advance = async (): Promise<void> => {
        again = true;
        if (busy) return;
        busy = true;
        while (again && !this.#response.destroyed) {
          again = false;
          try {
            await this.#advance();
          } catch {
            resolve();
          }
        }
        busy = false;
      };
      watcher.on('change', (event) => {
        if (event === 'rename') resolve();
        else void advance();
      });
      watcher.on('error', () => resolve());
      this.#response.on('close', () => resolve());
      void advance();
    });
    watcher.close();
  }

  async #advance(): Promise<void> {
    const { size } = await stat(this.#path);
    // A file that is shorter than what was read is a new run's.
    if (size < this.#offset) this.#offset = 0;
    if (size === this.#offset || this.#left <= 0) return;
    const stream = createReadStream(this.#path, {
      start: this.#offset,
      end: size - 1,
      highWaterMark: this.#chunk,
    });
    const decoder = new TextDecoder();
    for await (const bytes of stream as AsyncIterable<Buffer>) {
      this.#offset += bytes.length;
      const lines = (this.#rest + decoder.decode(bytes, { stream: true })).split('\n');
      this.#rest = lines.pop() ?? '';
      const shown = lines
        .map((line) => present(line, this.#options))
        .filter((line) => line !== undefined)
        .map((line) => `${line}\n`);
      await this.#write(shown.join(''));
      if (this.#response.destroyed || this.#left <= 0) return;
    }
  }

  async #write(text: string): Promise<void> {
    const bytes = Buffer.from(text).subarray(0, Number.isFinite(this.#left) ? this.#left : undefined);
    this.#left -= bytes.length;
    if (bytes.length === 0 || this.#response.destroyed || this.#response.write(bytes)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#response.off('drain', done);
        this.#response.off('close', done);
        resolve();
      };
      this.#response.on('drain', done);
      this.#response.on('close', done);
    });
  }
}
