import { spawn, type ChildProcess } from 'node:child_process';
import type { Clock } from '@mesh/clock/clock';

const stopPatienceMs = 3000;

/** A program of Kubernetes that the kernel kills when we die. Its log lines go where ours do, unless ignored. */
class ServerProcess {
  readonly #child: ChildProcess;
  /** How it ended. */
  readonly ended: Promise<string>;

  constructor(name: string, command: readonly string[], output: 'inherit' | 'ignore') {
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...command], {
      stdio: ['ignore', output, output],
      env: { PATH: process.env['PATH'] },
    });
    this.ended = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve(`${name} cannot be started: ${error.message}`));
      this.#child.once('exit', (code, signal) => resolve(`${name} ended with ${signal ?? code}`));
    });
  }

  async stop(clock: Clock): Promise<void> {
    const timer = clock.after(stopPatienceMs, () => this.#child.kill('SIGKILL'));
    this.#child.kill('SIGTERM');
    await this.ended;
    timer.cancel();
  }
}

/** Programs that serve together: when one ends, the others are of no use. */
export class ServerProcesses {
  readonly #clock: Clock;
  readonly #output: 'inherit' | 'ignore';
  readonly #running: ServerProcess[] = [];
  #stopping = false;
  #break: (how: string) => void = () => {};
  /** Resolves, with the reason, when one ended although nobody asked. */
  readonly broken: Promise<string>;

  constructor(clock: Clock, output: 'inherit' | 'ignore') {
    this.#clock = clock;
    this.#output = output;
    this.broken = new Promise((resolve) => {
      this.#break = resolve;
    });
  }

  start(name: string, command: readonly string[]): void {
    const started = new ServerProcess(name, command, this.#output);
    this.#running.push(started);
    void started.ended.then((how) => {
      if (!this.#stopping) this.#break(how);
    });
  }

  /** Ends them, the last started first. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const each of this.#running.toReversed()) await each.stop(this.#clock);
  }
}
