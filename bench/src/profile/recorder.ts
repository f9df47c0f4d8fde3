/** Samples a process with `perf`, kernel and JavaScript included. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { toolPath } from '@mesh/node/run-tool';
import { type Category, categoryOf, functionOf } from './categories.ts';
import { CompiledFunctions } from './compiled-functions.ts';
import { stacksOf } from './stacks.ts';

/** Samples per second; uneven, so that nothing periodic hides between them. */
const frequency = 1999;

/** With these V8 writes the names of what it compiles to `directory`. */
export function namedFunctions(directory: string): readonly string[] {
  return ['--perf-basic-prof', `--perf-basic-prof-path=${directory}`, '--interpreted-frames-native-stack'];
}

export interface Profile {
  readonly samples: number;
  readonly categories: ReadonlyMap<Category, number>;
  /** Samples of each function that was the innermost of JavaScript, most first. */
  readonly functions: readonly (readonly [name: string, samples: number])[];
}

/** A recording under way. */
export class Recorder {
  readonly #perf: ChildProcess;
  readonly #file: string;
  readonly #map: string;

  /** @param directory of `namedFunctions`; gets the recording */
  constructor(pid: number, directory: string) {
    this.#map = join(directory, `perf-${pid}.map`);
    this.#file = join(directory, `perf-${pid}.data`);
    this.#perf = spawn(
      'perf',
      [
        'record',
        '--event=cpu-clock',
        `--freq=${frequency}`,
        '--call-graph=fp',
        `--pid=${pid}`,
        `--output=${this.#file}`,
      ],
      { stdio: 'ignore', env: { PATH: toolPath } },
    );
  }

  async stop(): Promise<Profile> {
    const ended = once(this.#perf, 'exit');
    this.#perf.kill('SIGINT');
    await ended;
    const script = spawn('perf', ['script', '--force', '--fields=comm,ip,sym,dso', `--input=${this.#file}`], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { PATH: toolPath },
    });
    const compiled = new CompiledFunctions(readFileSync(this.#map, 'utf8'));
    let samples = 0;
    const found: Map<Category, number> = new Map();
    const functions: Map<string, number> = new Map();
    for await (const stack of stacksOf(createInterface({ input: script.stdout }), compiled)) {
      samples++;
      count(found, categoryOf(stack));
      const name = functionOf(stack);
      if (name !== undefined) count(functions, name);
    }
    return { samples, categories: found, functions: [...functions].sort(([, a], [, b]) => b - a) };
  }
}

function count<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
