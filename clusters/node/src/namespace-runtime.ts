import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { sleep, type Clock } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import { ContainerLog } from './container-log.ts';
import type {
  ContainerExit,
  ContainerProcess,
  ContainerRuntime,
  ContainerStart,
} from './container-runtime.ts';
import { onlyChild } from './only-child.ts';
import type { RootBuilder } from './rootfs.ts';
import { toolPath } from './run-tool.ts';
import { becomeUser, type ContainerUser } from './security.ts';
import { shellQuote, shellWords } from './shell-quote.ts';

interface NamespaceRuntimeOptions {
  roots: RootBuilder;
  bundles: string;
  node: string;
  logBytes: number;
  clock: Clock;
}

/** Where the container's root has its launch script. */
const launchPath = '/.launch';
const setUpCheckMs = 20;

const toolEnvironment = { PATH: toolPath };

/** Starts each container as a process in its pod's namespaces, with a mount namespace and a root of its own. */
export class NamespaceRuntime implements ContainerRuntime {
  readonly #options: NamespaceRuntimeOptions;

  constructor(options: NamespaceRuntimeOptions) {
    this.#options = options;
  }

  async start(start: ContainerStart): Promise<ContainerProcess> {
    const { roots, bundles, node, logBytes, clock } = this.#options;
    const { directory, container, user, sandbox } = start;
    const root = join(directory, 'root');
    mkdirSync(root, { recursive: true, mode: 0o700 });
    const launch = join(directory, 'launch');
    writeFileSync(launch, launchScript(start), { mode: 0o400 });
    chownSync(launch, user.uid, user.gid);
    // It is made before the container has its root: no `..` may climb out.
    const workingDirectory = join('/', container.workingDir ?? '');
    const layout = { root, mounts: start.mounts, etc: start.etc, bundles, node, launch, workingDirectory };
    const fstab = join(directory, 'fstab');
    writeFileSync(fstab, roots.fstab(layout), { mode: 0o600 });
    const script = join(directory, 'start');
    writeFileSync(script, roots.script(layout, fstab, [...becomeUser(user), '/bin/sh', launchPath]), {
      mode: 0o600,
    });
    const child = spawn('nsenter', [...sandbox.enter, '--', 'unshare', '--mount', '--', '/bin/sh', script], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: toolEnvironment,
      // A group of its own, so that the end of the main process ends what it started.
      detached: true,
    });
    await once(child, 'spawn');
    return new NamespaceProcess(child, {
      user,
      log: new ContainerLog({ file: start.logFile, maxBytes: logBytes, clock }),
      clock,
      script,
    });
  }
}

/** Sets the environment and becomes the command; only the container's user can read it. */
export function launchScript({
  container,
  environment,
}: Pick<ContainerStart, 'container' | 'environment'>): string {
  const lines: string[] = [];
  const prefix: string[] = [];
  for (const [name, value] of environment) {
    if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) lines.push(`export ${name}=${shellQuote(value)}`);
    else prefix.push(`${name}=${value}`);
  }
  lines.push(`cd ${shellQuote(container.workingDir ?? '/')}`);
  const command = [...(container.command ?? []), ...(container.args ?? [])];
  lines.push(`exec ${shellWords(prefix.length === 0 ? command : ['env', ...prefix, ...command])}`);
  return `${lines.join('\n')}\n`;
}

interface ProcessOptions {
  user: ContainerUser;
  log: ContainerLog;
  clock: Clock;
  /** The script that makes the container's root, before its command runs. */
  script: string;
}

class NamespaceProcess implements ContainerProcess {
  readonly exited: Promise<ContainerExit>;
  readonly #child: ChildProcess;
  readonly #user: ContainerUser;
  readonly #clock: Clock;
  readonly #script: string;
  #over = false;

  constructor(child: ChildProcess, { user, log, clock, script }: ProcessOptions) {
    this.#child = child;
    this.#user = user;
    this.#clock = clock;
    this.#script = script;
    const logs: Promise<void>[] = [];
    if (child.stdout !== null) logs.push(log.follow(child.stdout, 'stdout'));
    if (child.stderr !== null) logs.push(log.follow(child.stderr, 'stderr'));
    this.exited = once(child, 'exit').then(async ([code, signal]: unknown[]) => {
      this.#over = true;
      this.#killGroup();
      // A process that left the group may hold the pipes open for ever; what is written by now is enough.
      await Promise.race([
        Promise.all(logs),
        new Promise<void>((resolve) => clock.after(500, resolve, true)),
      ]);
      log.close();
      child.stdout?.destroy();
      child.stderr?.destroy();
      return exitOf(code, signal);
    });
  }

  signal(name: NodeJS.Signals): void {
    if (this.#over) return;
    if (name === 'SIGKILL') {
      this.#killGroup();
      return;
    }
    const main = this.#mainProcess();
    try {
      if (main === undefined) this.#child.kill(name);
      else process.kill(main, name);
    } catch {
      // it ended in the meantime
    }
  }

  async execute(command: readonly string[], timeoutMs: number): Promise<number> {
    const main = await this.#commandProcess(timeoutMs);
    if (main === undefined) return 126;
    const child = spawn(
      'nsenter',
      [
        ...[`--target=${main}`, '--mount', '--net', '--pid', '--uts', '--ipc', '--'],
        ...becomeUser(this.#user),
        ...command,
      ],
      { stdio: 'ignore', env: { PATH: `/opt/mesh/bin:${toolPath}` }, detached: true },
    );
    let late = false;
    const timer = this.#clock.after(
      timeoutMs,
      () => {
        late = true;
        if (child.pid !== undefined) killQuietly(-child.pid);
      },
      true,
    );
    try {
      const [code, signal] = await once(child, 'exit');
      return late ? 137 : exitOf(code, signal).code;
    } catch {
      return 126;
    } finally {
      timer.cancel();
    }
  }

  /** nsenter forks once to enter the PID namespace: the container is its only child. */
  #mainProcess(): number | undefined {
    return onlyChild(this.#child.pid);
  }

  /** The main process once it is the container's command: before that it has no root and user of its own. */
  async #commandProcess(timeoutMs: number): Promise<number | undefined> {
    const deadline = this.#clock.now() + timeoutMs;
    for (;;) {
      const main = this.#over ? undefined : this.#mainProcess();
      if (main !== undefined && !this.#isSettingUp(main)) return main;
      if (this.#over || this.#clock.now() >= deadline) return undefined;
      await sleep(this.#clock, setUpCheckMs);
    }
  }

  #isSettingUp(pid: number): boolean {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return words.includes(this.#script) || words.includes(launchPath);
    } catch {
      return true;
    }
  }

  #killGroup(): void {
    if (this.#child.pid !== undefined) killQuietly(-this.#child.pid);
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // nothing is left of it
  }
}

function exitOf(code: unknown, signal: unknown): ContainerExit {
  const number = Object.entries(constants.signals).find(([name]) => name === signal)?.[1] ?? 0;
  if (number !== 0) return { code: 128 + number, signal: number };
  if (typeof code !== 'number')
    throw new MeshError('pod-sandbox', 'a container ended without code and signal');
  return { code, signal: 0 };
}
