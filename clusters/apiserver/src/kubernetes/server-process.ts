import { spawn, type ChildProcess } from 'node:child_process';

const stopPatienceMs = 3000;

/** A program of Kubernetes that the kernel kills when we die. Its log lines go where ours do, unless ignored. */
export class ServerProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  /** How it ended. */
  readonly ended: Promise<string>;

  constructor(name: string, command: readonly string[], output: 'inherit' | 'ignore' = 'inherit') {
    this.name = name;
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...command], {
      stdio: ['ignore', output, output],
      env: { PATH: process.env['PATH'] },
    });
    this.ended = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve(`cannot be started: ${error.message}`));
      this.#child.once('exit', (code, signal) => resolve(`ended with ${signal ?? code}`));
    });
  }

  async stop(after: (delayMs: number, act: () => void) => { cancel(): void }): Promise<void> {
    const timer = after(stopPatienceMs, () => this.#child.kill('SIGKILL'));
    this.#child.kill('SIGTERM');
    await this.ended;
    timer.cancel();
  }
}
