/**
 * Container logs, read from `DIR/NAMESPACE/POD/CONTAINER.log`, where the node writes one entry per line in the form of
 * container runtimes: `TIME stdout|stderr F|P TEXT`. The file holds all runs of the container; the pod's status says
 * when each one was.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServerResponse } from 'node:http';
import type { LimitLedger } from '@mesh/limits/limits';
import type { ResourceExchange } from './exchange.ts';
import { listAt, textAt } from './json.ts';
import type { ApiserverLimit } from './limits.ts';
import { LogReader } from './log-reader.ts';
import type { KubeObject } from './object.ts';
import { badRequest } from './status.ts';

/** Wall-clock milliseconds. */
interface Span {
  readonly fromMs: number;
  readonly untilMs: number;
}

const entryForm = /^(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)) (?:stdout|stderr) ([FP]) ?/;

function containerOf(pod: KubeObject, wanted: string): string {
  const names = (list: string): string[] =>
    listAt(pod, 'spec', list).map((item) => textAt(item, 'name') ?? '');
  const regular = names('containers');
  const all = [...regular, ...names('initContainers')];
  const { name } = pod.metadata;
  if (wanted === '') {
    const [only] = regular;
    if (only !== undefined && all.length === 1) return only;
    throw badRequest(`a container name must be specified for pod ${name}, choose one of: [${all.join(' ')}]`);
  }
  if (!all.includes(wanted)) throw badRequest(`container ${wanted} is not valid for pod ${name}`);
  return wanted;
}

/** When the wanted run of the container was. Times in a status are whole seconds. @throws ApiError 400 */
function runSpan(pod: KubeObject, container: string, previous: boolean): Span {
  const status = [
    ...listAt(pod, 'status', 'containerStatuses'),
    ...listAt(pod, 'status', 'initContainerStatuses'),
  ].find((item) => textAt(item, 'name') === container);
  if (previous) {
    const from = textAt(status, 'lastState', 'terminated', 'startedAt');
    const until = textAt(status, 'lastState', 'terminated', 'finishedAt');
    if (from === undefined || until === undefined) {
      throw badRequest(
        `previous terminated container "${container}" in pod "${pod.metadata.name}" not found`,
      );
    }
    return { fromMs: Date.parse(from), untilMs: Date.parse(until) + 1000 };
  }
  const from =
    textAt(status, 'state', 'running', 'startedAt') ??
    textAt(status, 'state', 'terminated', 'startedAt') ??
    textAt(status, 'lastState', 'terminated', 'startedAt') ??
    pod.metadata.creationTimestamp;
  return { fromMs: Date.parse(from), untilMs: Number.POSITIVE_INFINITY };
}

/** The entry as the client wants it, or undefined when it is not of that time. */
function present(entry: string, { fromMs, untilMs }: Span, timestamps: boolean): string | undefined {
  const match = entryForm.exec(entry);
  if (match === null) return `${entry}\n`;
  const time = match[1] ?? '';
  const at = Date.parse(time);
  if (at < fromMs || at >= untilMs) return undefined;
  const text = entry.slice(match[0].length) + (match[2] === 'P' ? '' : '\n');
  return timestamps ? `${time} ${text}` : text;
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
    const number = (parameter: string): number | undefined => {
      const text = query.get(parameter);
      if (text === null) return undefined;
      if (!/^\d+$/.test(text)) throw badRequest(`${parameter} ${JSON.stringify(text)} is not a number`);
      return Number(text);
    };
    const container = containerOf(pod, query.get('container') ?? '');
    const previous = query.get('previous') === 'true';
    const run = runSpan(pod, container, previous);
    const sinceSeconds = number('sinceSeconds');
    const sinceTime = Date.parse(query.get('sinceTime') ?? '');
    const since = sinceSeconds === undefined ? sinceTime : this.#wall() - sinceSeconds * 1000;
    const span: Span = { ...run, fromMs: Math.max(run.fromMs, Number.isNaN(since) ? 0 : since) };
    const { name, namespace } = pod.metadata;
    const path = join(this.#directory, namespace ?? '', name, `${container}.log`);
    if ((await stat(path).catch(() => undefined)) === undefined) {
      throw badRequest(`container "${container}" in pod "${name}" is waiting to start: ContainerCreating`);
    }
    response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-cache, private' });
    response.flushHeaders();

    const timestamps = query.get('timestamps') === 'true';
    let left = number('limitBytes') ?? Number.POSITIVE_INFINITY;
    const reader = new LogReader({
      path,
      chunkBytes: this.#limits.values.apiserver_log_chunk,
      async onLines(lines) {
        const text = lines.map((line) => present(line, span, timestamps) ?? '').join('');
        const bytes = Buffer.from(text);
        await writeAll(response, Number.isFinite(left) ? bytes.subarray(0, left) : bytes);
        left -= bytes.length;
        return left > 0 && !response.destroyed;
      },
    });
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    try {
      const more = await reader.readToEnd(number('tailLines'));
      if (more && query.get('follow') === 'true' && !previous) await reader.follow(gone.signal);
    } finally {
      await reader.close();
    }
    response.end();
  }
}

/** Resolves when the response takes more, or is closed. */
function writeAll(response: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    if (bytes.length === 0 || response.destroyed || response.write(bytes)) {
      resolve();
      return;
    }
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}
