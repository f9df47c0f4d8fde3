/**
 * Container logs as a kubelet shows them, from `DIR/NAMESPACE/POD/CONTAINER.log`, one entry per line in the form of
 * container runtimes: `TIME stdout|stderr F|P TEXT`. The file holds all runs of the container; the pod's status says
 * when each one was.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServerResponse } from 'node:http';
import type { Clock } from '@mesh/clock/clock';
import type { Pod } from '@mesh/kube/types';
import { nodeLimits } from './limits.ts';
import { LogReader } from './log-reader.ts';

/** Wall-clock milliseconds. */
interface Span {
  readonly fromMs: number;
  readonly untilMs: number;
}

export interface LogRequest {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  /** `follow`, `previous`, `sinceSeconds`, `sinceTime`, `timestamps`, `tailLines`, `limitBytes` as in PodLogOptions. */
  readonly query: URLSearchParams;
}

interface PodLogsOptions {
  directory: string;
  /** A pod of this node with its present status. */
  pod: (namespace: string, name: string) => Pod | undefined;
  clock: Clock;
}

/** How often a log that is followed is compared with the state of its container. */
const runCheckMs = 1000;

const entryForm = /^(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)) (?:stdout|stderr) ([FP]) ?/;

/** A request that cannot be answered; kube-apiserver hands status and text on to its client. */
class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

function waitingToStart(pod: string | undefined, container: string, reason: string): Refusal {
  return new Refusal(400, `container "${container}" in pod "${pod}" is waiting to start: ${reason}`);
}

type ContainerStatus = NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number];

function statusOf({ status }: Pod, container: string): ContainerStatus | undefined {
  return [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].find(
    ({ name }) => name === container,
  );
}

/** When the wanted run of the container was. Times in a status are whole seconds. @throws Refusal */
function runSpan(pod: Pod, container: string, previous: boolean): Span {
  const { metadata } = pod;
  const { state, lastState } = statusOf(pod, container) ?? {};
  if (previous) {
    const { startedAt, finishedAt } = lastState?.terminated ?? {};
    if (startedAt === undefined || finishedAt === undefined) {
      throw new Refusal(
        400,
        `previous terminated container "${container}" in pod "${metadata?.name}" not found`,
      );
    }
    return { fromMs: Date.parse(startedAt), untilMs: Date.parse(finishedAt) + 1000 };
  }
  if (state?.waiting !== undefined && lastState?.terminated === undefined) {
    throw waitingToStart(metadata?.name, container, state.waiting.reason ?? '');
  }
  const from =
    state?.running?.startedAt ??
    state?.terminated?.startedAt ??
    lastState?.terminated?.startedAt ??
    metadata?.creationTimestamp ??
    '';
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

function numberOf(query: URLSearchParams, parameter: string): number | undefined {
  const text = query.get(parameter);
  if (text === null) return undefined;
  if (!/^\d+$/.test(text)) throw new Refusal(400, `${parameter} ${JSON.stringify(text)} is not a number`);
  return Number(text);
}

export class PodLogs {
  readonly #options: PodLogsOptions;

  constructor(options: PodLogsOptions) {
    this.#options = options;
  }

  async serve(request: LogRequest, response: ServerResponse): Promise<void> {
    try {
      await this.#stream(request, await this.#find(request), response);
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      response.writeHead(thrown.status, { 'content-type': 'text/plain; charset=utf-8' });
      response.end(thrown.message);
    }
  }

  async #find({ namespace, pod: name, container, query }: LogRequest): Promise<{ path: string; span: Span }> {
    const pod = this.#options.pod(namespace, name);
    if (pod === undefined) throw new Refusal(404, `pod "${name}" not found`);
    const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
    // The name becomes part of a path below.
    if (!containers.some((known) => known.name === container)) {
      throw new Refusal(404, `container "${container}" not found in pod "${name}"`);
    }
    const run = runSpan(pod, container, query.get('previous') === 'true');
    const sinceSeconds = numberOf(query, 'sinceSeconds');
    const sinceTime = Date.parse(query.get('sinceTime') ?? '');
    const since = sinceSeconds === undefined ? sinceTime : this.#options.clock.wall() - sinceSeconds * 1000;
    const path = join(this.#options.directory, namespace, name, `${container}.log`);
    if ((await stat(path).catch(() => undefined)) === undefined) {
      throw waitingToStart(name, container, 'ContainerCreating');
    }
    return { path, span: { ...run, fromMs: Math.max(run.fromMs, Number.isNaN(since) ? 0 : since) } };
  }

  async #stream(
    request: LogRequest,
    { path, span }: { path: string; span: Span },
    response: ServerResponse,
  ): Promise<void> {
    const { query } = request;
    const timestamps = query.get('timestamps') === 'true';
    const tail = numberOf(query, 'tailLines');
    const previous = query.get('previous') === 'true';
    let left = numberOf(query, 'limitBytes') ?? Number.POSITIVE_INFINITY;
    response.writeHead(200, { 'content-type': 'text/plain' });
    response.flushHeaders();
    const send = async (text: string): Promise<boolean> => {
      const bytes = Buffer.from(text);
      await writeAll(response, Number.isFinite(left) ? bytes.subarray(0, left) : bytes);
      left -= bytes.length;
      return left > 0 && !response.destroyed;
    };
    // The last lines of a file may all be of a later run than the one before.
    const last: string[] | undefined = previous && tail !== undefined ? [] : undefined;
    const reader = new LogReader({
      path,
      chunkBytes: nodeLimits.node_log_chunk_bytes.default,
      async onLines(lines) {
        const texts = lines
          .map((line) => present(line, span, timestamps) ?? '')
          .filter((text) => text !== '');
        if (last === undefined) return await send(texts.join(''));
        last.push(...texts);
        last.splice(0, Math.max(0, last.length - (tail ?? 0)));
        return !response.destroyed;
      },
    });
    try {
      const more = await reader.readToEnd(last === undefined ? tail : undefined);
      if (last !== undefined) await send(last.join(''));
      else if (more && query.get('follow') === 'true') await this.#follow(request, reader, response);
    } finally {
      await reader.close();
    }
    response.end();
  }

  /** Until the client leaves, or the run ends whose log it is, as with a kubelet. */
  async #follow(
    { namespace, pod: name, container }: LogRequest,
    reader: LogReader,
    response: ServerResponse,
  ): Promise<void> {
    const uid = this.#options.pod(namespace, name)?.metadata?.uid;
    let run: number | undefined;
    const over = (): boolean => {
      const pod = this.#options.pod(namespace, name);
      if (pod === undefined || pod.metadata?.uid !== uid) return true;
      const status = statusOf(pod, container);
      run ??= status?.restartCount;
      return status !== undefined && (status.state?.running === undefined || status.restartCount !== run);
    };
    const end = new AbortController();
    response.on('close', () => end.abort());
    const check = this.#options.clock.every(runCheckMs, () => over() && end.abort(), true);
    try {
      if (!over()) await reader.follow(end.signal);
      // What was written before the end of the run that was noticed now.
      if (!response.destroyed) await reader.readOn();
    } finally {
      check.cancel();
    }
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
