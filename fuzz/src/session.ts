import { Worker } from 'node:worker_threads';
import type { Clock } from '@mesh/clock/clock';
import { CurrentInput } from './current-input.ts';
import type { FuzzTarget } from './target.ts';
import type { WorkerOrder, WorkerReport } from './worker.ts';

export interface SessionOptions {
  clock: Clock;
  target: FuzzTarget;
  /** Module that exports the target, for the worker. */
  targets: string;
  /** URLs of the scripts whose blocks guide the search. */
  covers: RegExp;
  seed: number;
  milliseconds: number;
  /** One input may take this long. */
  hangMs: number;
  /** Heap of the worker, MiB. */
  mostHeapMiB: number;
  onProgress?: (report: WorkerReport) => void;
}

interface Failure {
  what: 'fault' | 'hang' | 'memory';
  input: Buffer;
  detail: string;
}

export interface SessionResult {
  report: WorkerReport | undefined;
  failure: Failure | undefined;
}

/** Fuzzes one target in a thread of its own until the time is up or an input fails. */
export async function runSession(options: SessionOptions): Promise<SessionResult> {
  const { clock, target, hangMs } = options;
  const mostBytes = Math.max(target.mostBytes ?? 4096, ...target.seeds().map((seed) => seed.length)) + 65_536;
  const current = new CurrentInput(mostBytes);
  const order: WorkerOrder = {
    targets: options.targets,
    target: target.name,
    covers: options.covers,
    seed: options.seed,
    milliseconds: options.milliseconds,
    shared: current.shared,
    mostBytes,
  };
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: order,
    resourceLimits: { maxOldGenerationSizeMb: options.mostHeapMiB },
  });
  const failure = (what: Failure['what'], detail: string): Failure => ({
    what,
    detail,
    input: current.bytes,
  });
  let last: WorkerReport | undefined;
  const result = await new Promise<SessionResult>((resolve) => {
    let run = current.run;
    let since = clock.now();
    const watch = clock.every(hangMs / 10, () => {
      if (current.run !== run) {
        run = current.run;
        since = clock.now();
      } else if (run > 0 && clock.now() - since >= hangMs) {
        finish({ report: last, failure: failure('hang', `one input took more than ${hangMs} ms`) });
      }
    });
    const finish = (outcome: SessionResult): void => {
      watch.cancel();
      resolve(outcome);
    };
    worker.on('message', (report: WorkerReport) => {
      last = report;
      if (report.kind === 'done') finish({ report, failure: undefined });
      else options.onProgress?.(report);
    });
    worker.on('error', (fault: Error & { code?: string }) => {
      const what = fault.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'memory' : 'fault';
      finish({ report: last, failure: failure(what, fault.stack ?? fault.message) });
    });
  });
  await worker.terminate();
  return result;
}
