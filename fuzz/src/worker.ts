/** The thread that runs a target: it may hang, throw or run out of memory, and `session.ts` says what happened. */
import { parentPort, workerData } from 'node:worker_threads';
import { seededRandom } from '@mesh/clock/seeded';
import { systemClock } from '@mesh/clock/system';
import { BlockCoverage } from './block-coverage.ts';
import { readCorpus } from './corpus.ts';
import { CurrentInput } from './current-input.ts';
import { Fuzzer } from './fuzzer.ts';
import type { FuzzTarget } from './target.ts';

export interface WorkerOrder {
  /** Module whose default export is a list of targets. */
  targets: string;
  target: string;
  /** URLs of the scripts whose blocks guide. */
  covers: RegExp;
  seed: number;
  /** Ends after this many milliseconds. */
  milliseconds: number;
  shared: SharedArrayBuffer;
  mostBytes: number;
}

export interface WorkerReport {
  kind: 'progress' | 'done';
  executions: number;
  features: number;
  corpus: number;
  /** At the end: what is worth adding to the corpus of the repository. */
  found: Uint8Array[];
}

const mostArrayBufferBytes = 512 * 1024 * 1024;
const reportMs = 1000;

async function work(order: WorkerOrder, report: (report: WorkerReport) => void): Promise<void> {
  const module = (await import(order.targets)) as { default: readonly FuzzTarget[] };
  const target = module.default.find(({ name }) => name === order.target);
  if (target === undefined) throw new Error(`${order.targets} has no target ${order.target}`);
  const current = new CurrentInput(order.mostBytes, order.shared);
  const coverage = new BlockCoverage(order.covers);
  const start = systemClock.now();
  const begun = async (): Promise<Fuzzer> => {
    const random = seededRandom(order.seed);
    const fuzzer = new Fuzzer({ target, random, coverage, onInput: (input) => current.set(input) });
    for (const input of readCorpus(target)) await fuzzer.add(input);
    return fuzzer;
  };
  const fuzzer = await begun();
  const found: Buffer[] = [];
  const state = (kind: WorkerReport['kind'], distilled: Buffer[]): WorkerReport => ({
    kind,
    executions: fuzzer.executions,
    features: fuzzer.features,
    corpus: fuzzer.corpus.length,
    found: distilled,
  });
  let reported = start;
  while (systemClock.now() - start < order.milliseconds) {
    found.push(...(await fuzzer.step()));
    if (process.memoryUsage().arrayBuffers > mostArrayBufferBytes) {
      throw new Error(`more than ${mostArrayBufferBytes} bytes of buffers are held`);
    }
    if (systemClock.now() - reported < reportMs) continue;
    reported = systemClock.now();
    report(state('progress', []));
  }
  const distilled = await (await begun()).distil(found);
  coverage.stop();
  report(state('done', distilled));
}

const port = parentPort;
if (port !== null) await work(workerData as WorkerOrder, (report) => port.postMessage(report));
