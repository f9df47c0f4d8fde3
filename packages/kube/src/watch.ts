import type { IncomingMessage } from 'node:http';
import type { Clock, Timer } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import type { LimitLedger } from '@mesh/limits/limits';
import { KubeApiError } from './api-error.ts';
import type { KubeLimit } from './limits.ts';
import { LineSplitter } from './line-splitter.ts';
import type { KubeObject, StatusBody, Stored } from './types.ts';

export type WatchEvent<T extends KubeObject> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: Stored<T> }
  /** Nothing changed up to this resourceVersion. */
  | { type: 'BOOKMARK'; object: Stored<KubeObject> };

/** Why a watch is over. `ended`: the server closed it in good order, which it does every few minutes. */
export type WatchEnd = { kind: 'ended' } | { kind: 'stopped' } | { kind: 'failed'; error: unknown };

export interface Watch {
  /** True once the server has accepted the watch; false when it never did. Never rejects. */
  readonly opened: Promise<boolean>;
  /** Never rejects. No event is delivered after it has resolved. */
  readonly done: Promise<WatchEnd>;
  stop(): void;
}

interface WatchReaderOptions<T extends KubeObject> {
  clock: Clock;
  limits: LimitLedger<KubeLimit>;
  onEvent: (event: WatchEvent<T>) => void;
}

/** Turns the byte stream of one watch into events. A half line at the end is dropped: its event comes again later. */
export class WatchReader<T extends KubeObject> implements Watch {
  readonly opened: Promise<boolean>;
  readonly done: Promise<WatchEnd>;
  readonly #options: WatchReaderOptions<T>;
  #response: IncomingMessage | undefined;
  #finish: (end: WatchEnd) => void = () => {};
  #open: (opened: boolean) => void = () => {};
  #over = false;
  #idle: Timer | undefined;

  constructor(options: WatchReaderOptions<T>) {
    this.#options = options;
    this.opened = new Promise((resolve) => {
      this.#open = resolve;
    });
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  stop(): void {
    this.end({ kind: 'stopped' });
  }

  end(end: WatchEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#idle?.cancel();
    this.#response?.destroy();
    this.#open(false);
    this.#finish(end);
  }

  read(response: IncomingMessage): void {
    if (this.#over) {
      response.destroy();
      return;
    }
    this.#response = response;
    this.#open(true);
    const { limits } = this.#options;
    const splitter = new LineSplitter(limits.values.kube_watch_line_bytes, (line) => this.#line(line));
    this.#armIdle();
    response.on('data', (chunk: Buffer) => {
      if (this.#over) return;
      this.#armIdle();
      if (splitter.push(chunk)) return;
      limits.hit('kube_watch_line_bytes');
      this.#fail(new MeshError('kube-limit', 'a watch event is larger than kube_watch_line_bytes'));
    });
    response.on('end', () => this.end({ kind: 'ended' }));
    response.on('error', (error) => this.#fail(error));
    response.on('close', () => this.end({ kind: 'ended' }));
  }

  #line(line: string): void {
    if (this.#over) return;
    let event: unknown;
    try {
      event = JSON.parse(line);
    } catch (cause) {
      this.#fail(new MeshError('kube-api', 'a watch event is not JSON', { cause }));
      return;
    }
    if (!isEvent<T>(event)) {
      this.#fail(new MeshError('kube-api', 'a watch event has no known type or no versioned object'));
      return;
    }
    if (event.type === 'ERROR') {
      this.#fail(
        new KubeApiError({
          status: event.object.code ?? 500,
          request: 'WATCH',
          body: JSON.stringify(event.object),
        }),
      );
      return;
    }
    this.#options.onEvent(event);
  }

  #fail(error: unknown): void {
    this.end({ kind: 'failed', error });
  }

  #armIdle(): void {
    this.#idle?.cancel();
    const { clock, limits } = this.#options;
    const idleMs = limits.values.kube_watch_idle_ms;
    this.#idle = clock.after(
      idleMs,
      () => {
        limits.hit('kube_watch_idle_ms');
        this.#fail(new MeshError('kube-unreachable', `a watch was silent for ${idleMs} ms`));
      },
      true,
    );
  }
}

type RawEvent<T extends KubeObject> = WatchEvent<T> | { type: 'ERROR'; object: StatusBody };

const eventTypes: ReadonlySet<unknown> = new Set(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR']);

function isEvent<T extends KubeObject>(value: unknown): value is RawEvent<T> {
  if (!isRecord(value) || !eventTypes.has(value['type'])) return false;
  const object = value['object'];
  if (!isRecord(object)) return false;
  if (value['type'] === 'ERROR') return true;
  const metadata = object['metadata'];
  return isRecord(metadata) && typeof metadata['resourceVersion'] === 'string';
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
