/** The process of the clients: killed in the midst of its work and started anew, as machines die. */
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from '../pod.ts';
import { replaceFile } from '../replace-file.ts';
import type { ClientsOrder, ClientsReport } from './clients-main.ts';

export class ChurnClients {
  readonly #pod: Pod;
  readonly #order: string;
  readonly #log: string;
  #child: ChildProcess | undefined;
  kills = 0;

  constructor(pod: Pod, directory: string) {
    this.#pod = pod;
    this.#order = join(directory, 'clients.json');
    this.#log = join(directory, 'clients.log');
  }

  start(order: ClientsOrder): void {
    replaceFile(this.#order, JSON.stringify(order));
    const program = join(import.meta.dirname, 'clients-main.ts');
    this.#child = this.#pod.start([process.execPath, program, this.#order], { log: this.#log });
  }

  /** From now on they go elsewhere. */
  tell(order: ClientsOrder): void {
    replaceFile(this.#order, JSON.stringify(order));
    this.#child?.kill('SIGHUP');
  }

  kill(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
    this.kills++;
  }

  /** What all of them did, but for the last second before each kill. */
  report(): ClientsReport {
    let [done, heldBack] = [0, 0];
    const failed: Record<string, number> = {};
    for (const line of readFileSync(this.#log, 'utf8').split('\n')) {
      if (!line.startsWith('{') || !line.endsWith('}')) continue;
      const second = JSON.parse(line) as ClientsReport;
      done += second.done;
      heldBack += second.heldBack;
      for (const [what, count] of Object.entries(second.failed)) failed[what] = (failed[what] ?? 0) + count;
    }
    return { done, heldBack, failed };
  }
}
