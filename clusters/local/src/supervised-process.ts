import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { Clock, Timer } from '@mesh/clock/clock';

interface SupervisedOptions {
  clock: Clock;
  command: readonly string[];
  environment: Readonly<Record<string, string>>;
  logFile: string;
  /** Told when the process ended by itself and will be started again. */
  onRestart: (detail: string) => void;
  onStart: () => void;
}

const restartMs = 500;
const stopPatienceMs = 5000;

/** A program of the host that is started again whenever it ends, and that the kernel kills when we die. */
export class SupervisedProcess {
  readonly #options: SupervisedOptions;
  #child: ChildProcess | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: SupervisedOptions) {
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(): void {
    const { command, environment, logFile, onStart, onRestart, clock } = this.#options;
    const log = openSync(logFile, 'a', 0o644);
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...command], {
      stdio: ['ignore', log, log],
      env: environment,
    });
    closeSync(log);
    this.#child = child;
    let ended = false;
    const end = (detail: string): void => {
      if (ended) return;
      ended = true;
      this.#child = undefined;
      if (this.#stopped) return;
      onRestart(`${detail}; see ${logFile}`);
      this.#timer = clock.after(restartMs, () => this.start());
    };
    child.on('error', (error) => end(error.message));
    child.on('exit', (code, signal) => end(`ended with ${signal ?? code}`));
    onStart();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const timer = this.#options.clock.after(stopPatienceMs, () => child.kill('SIGKILL'));
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    await gone;
    timer.cancel();
  }
}
