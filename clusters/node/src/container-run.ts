import { sleep, type Clock } from '@mesh/clock/clock';
import type { Container } from '@mesh/kube/types';
import type { ConfigFault } from './environment.ts';
import type { ContainerExit, ContainerProcess } from './container-runtime.ts';
import { badStatus } from './probe-checks.ts';
import { ProbeLoop, type Probe, type ProbeCheck } from './probe-loop.ts';
import { RestartBackoff } from './restart-backoff.ts';

export type RestartPolicy = 'Always' | 'OnFailure' | 'Never';

export type ContainerState =
  | { kind: 'waiting'; reason: string; message?: string }
  | { kind: 'running'; startedAt: number }
  | {
      kind: 'terminated';
      exitCode: number;
      signal: number;
      reason: string;
      startedAt: number;
      finishedAt: number;
    };

export interface ContainerRunOptions {
  container: Container;
  restartPolicy: RestartPolicy;
  /** Starts the container's process; `attempt` counts from 0. A fault is tried again until it is mended. */
  start: (attempt: number) => Promise<ContainerProcess | ConfigFault>;
  checks: (process: ContainerProcess) => ProbeCheck;
  clock: Clock;
  backoff: { baseMs: number; capMs: number };
  onChange: () => void;
  /** Something worth an Event: reason and message. */
  onEvent: (reason: string, message: string) => void;
  /** Seconds given to a container that its liveness or startup probe condemned. */
  graceSeconds: number;
}

const faultRetryMs = 500;
/** Longest time that a timer can wait: a postStart hook may take as long as it likes. */
const longestHookMs = 2 ** 31 - 1;

type Hook = NonNullable<NonNullable<Container['lifecycle']>['postStart']>;

/** One container over all its restarts. Times in states are wall milliseconds. */
export class ContainerRun {
  readonly container: Container;
  /** Resolves when the container has ended and will not be restarted. */
  readonly finished: Promise<void>;
  state: ContainerState = { kind: 'waiting', reason: 'PodInitializing' };
  lastState: ContainerState | undefined;
  restartCount = 0;
  ready = false;
  started = false;
  readonly #options: ContainerRunOptions;
  readonly #abort = new AbortController();
  readonly #backoff: RestartBackoff;
  #process: ContainerProcess | undefined;
  /** The process whose preStop hook has run: a probe and the end of the pod may both ask for it. */
  #preStopped: ContainerProcess | undefined;
  #probes: ProbeLoop[] = [];
  #onStarted: (() => void)[] = [];
  #launched = false;
  #finish: () => void = () => {};

  constructor(options: ContainerRunOptions) {
    this.#options = options;
    this.container = options.container;
    this.#backoff = new RestartBackoff(options.backoff);
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  launch(): void {
    if (this.#launched) return;
    this.#launched = true;
    void this.#loop().finally(() => {
      this.#finish();
      this.#tellStarted();
    });
  }

  /** Resolves when the container runs and its startup probe passed, or when it will never run. */
  whenStarted(): Promise<void> {
    if (this.started) return Promise.resolve();
    return new Promise((resolve) => this.#onStarted.push(resolve));
  }

  get succeeded(): boolean {
    return this.state.kind === 'terminated' && this.state.exitCode === 0;
  }

  /** The main process, for tests that crash things. False when nothing runs. */
  signal(name: NodeJS.Signals): boolean {
    this.#process?.signal(name);
    return this.#process !== undefined;
  }

  /** Ends it for good: preStop and SIGTERM, then SIGKILL after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#abort.abort(new Error('the pod is terminated'));
    if (!this.#launched) {
      this.#launched = true;
      this.#finish();
      return;
    }
    const process = this.#process;
    if (process !== undefined) await this.#terminate(process, graceMs);
    await this.finished;
  }

  async #terminate(process: ContainerProcess, graceMs: number): Promise<void> {
    const { clock, onEvent } = this.#options;
    const deadline = clock.now() + graceMs;
    const kill = clock.after(graceMs, () => process.signal('SIGKILL'), true);
    const preStop = this.container.lifecycle?.preStop;
    if (graceMs > 0 && preStop !== undefined && this.#preStopped !== process) {
      this.#preStopped = process;
      const fault = await this.#runHook(preStop, process, graceMs);
      if (fault !== undefined) onEvent('FailedPreStopHook', `PreStopHook failed: ${fault}`);
    }
    process.signal(clock.now() >= deadline ? 'SIGKILL' : 'SIGTERM');
    await process.exited;
    kill.cancel();
  }

  async #loop(): Promise<void> {
    const { clock, restartPolicy, onChange, onEvent } = this.#options;
    for (let attempt = 0; ; attempt++) {
      const process = await this.#startProcess(attempt);
      if (process === undefined) return;
      const startedAt = clock.wall();
      const startedNow = clock.now();
      this.#process = process;
      this.state = { kind: 'running', startedAt };
      void this.#welcome(process);
      onChange();
      // The pod may have been condemned while the process was being made.
      if (this.#abort.signal.aborted) process.signal('SIGKILL');
      const exit = await process.exited;
      this.#process = undefined;
      this.#stopProbes();
      this.state = terminated(exit, { startedAt, finishedAt: clock.wall() });
      onChange();
      const again = restartPolicy === 'Always' || (restartPolicy === 'OnFailure' && exit.code !== 0);
      if (!again || this.#abort.signal.aborted) return;
      const delayMs = this.#backoff.next(clock.now() - startedNow);
      this.lastState = this.state;
      this.state = {
        kind: 'waiting',
        reason: 'CrashLoopBackOff',
        message: `back-off ${Math.round(delayMs / 100) / 10}s restarting failed container=${this.container.name}`,
      };
      onChange();
      onEvent('BackOff', `Back-off restarting failed container ${this.container.name}`);
      if (!(await this.#pause(delayMs))) {
        this.state = this.lastState;
        return;
      }
      this.restartCount++;
    }
  }

  /** The postStart hook; a container is started only after it, and ended when it fails. */
  async #welcome(process: ContainerProcess): Promise<void> {
    const { onEvent, graceSeconds } = this.#options;
    const postStart = this.container.lifecycle?.postStart;
    const fault = postStart && (await this.#runHook(postStart, process, longestHookMs));
    if (this.#process !== process) return;
    if (fault === undefined) {
      this.#startProbes(process);
      return;
    }
    onEvent('FailedPostStartHook', `PostStartHook failed: ${fault}`);
    await this.#terminate(process, graceSeconds * 1000);
  }

  /** Undefined when the hook succeeded. Never rejects, whatever a pod's author wrote into it. */
  async #runHook(hook: Hook, process: ContainerProcess, timeoutMs: number): Promise<string | undefined> {
    try {
      return await this.#tryHook(hook, process, timeoutMs);
    } catch (thrown) {
      return thrown instanceof Error ? thrown.message : String(thrown);
    }
  }

  /** HTTP hooks fail only without an answer, whatever that says. */
  async #tryHook(hook: Hook, process: ContainerProcess, timeoutMs: number): Promise<string | undefined> {
    const { clock, checks } = this.#options;
    if (hook.exec !== undefined) {
      const code = await process.execute(hook.exec.command ?? [], timeoutMs);
      return code === 0 ? undefined : `command exited with ${code}`;
    }
    if (hook.sleep !== undefined) {
      const ms = Math.min(timeoutMs, hook.sleep.seconds * 1000);
      await Promise.race([sleep(clock, ms), process.exited]);
      return undefined;
    }
    if (hook.httpGet === undefined) return 'the hook names no handler';
    const fault = await checks(process)({ httpGet: hook.httpGet }, timeoutMs);
    return fault?.startsWith(badStatus) === true ? undefined : fault;
  }

  async #startProcess(attempt: number): Promise<ContainerProcess | undefined> {
    const { start, onChange, onEvent } = this.#options;
    let told = '';
    for (;;) {
      if (this.#abort.signal.aborted) return undefined;
      let reason = 'CreateContainerConfigError';
      let message: string;
      try {
        const process = await start(attempt);
        if (!('fault' in process)) return process;
        message = process.fault;
      } catch (thrown) {
        reason = 'CreateContainerError';
        message = thrown instanceof Error ? thrown.message : String(thrown);
      }
      this.state = { kind: 'waiting', reason, message };
      if (told !== message) onEvent('Failed', `Error: ${message}`);
      told = message;
      onChange();
      if (!(await this.#pause(faultRetryMs))) return undefined;
    }
  }

  async #pause(ms: number): Promise<boolean> {
    try {
      await sleep(this.#options.clock, ms, this.#abort.signal);
      return true;
    } catch {
      return false;
    }
  }

  #startProbes(process: ContainerProcess): void {
    const { checks, clock, onEvent, graceSeconds } = this.#options;
    const { startupProbe, readinessProbe, livenessProbe } = this.container;
    const check = checks(process);
    const condemn = (kind: string, probe: Probe, reason: string): void => {
      onEvent('Unhealthy', `${kind} probe failed: ${reason}`);
      onEvent(
        'Killing',
        `Container ${this.container.name} failed ${kind.toLowerCase()} probe, will be restarted`,
      );
      void this.#terminate(process, (probe.terminationGracePeriodSeconds ?? graceSeconds) * 1000);
    };
    const begin = (): void => {
      this.#setStarted();
      if (readinessProbe === undefined) this.#setReady(true);
      else {
        const onVerdict = (passed: boolean, reason: string): void => {
          if (!passed) onEvent('Unhealthy', `Readiness probe failed: ${reason}`);
          this.#setReady(passed);
        };
        this.#probes.push(
          new ProbeLoop({ kind: 'readiness', probe: readinessProbe, check, clock, onVerdict }),
        );
      }
      if (livenessProbe !== undefined) {
        const onVerdict = (passed: boolean, reason: string): void => {
          if (!passed) condemn('Liveness', livenessProbe, reason);
        };
        this.#probes.push(new ProbeLoop({ kind: 'liveness', probe: livenessProbe, check, clock, onVerdict }));
      }
    };
    if (startupProbe === undefined) {
      begin();
      return;
    }
    const onVerdict = (passed: boolean, reason: string): void => {
      if (passed) begin();
      else condemn('Startup', startupProbe, reason);
    };
    this.#probes.push(new ProbeLoop({ kind: 'startup', probe: startupProbe, check, clock, onVerdict }));
  }

  #stopProbes(): void {
    for (const probe of this.#probes) probe.stop();
    this.#probes = [];
    this.ready = false;
    this.started = false;
  }

  #setReady(ready: boolean): void {
    if (this.ready === ready) return;
    this.ready = ready;
    this.#options.onChange();
  }

  #setStarted(): void {
    this.started = true;
    this.#options.onChange();
    this.#tellStarted();
  }

  #tellStarted(): void {
    for (const resolve of this.#onStarted.splice(0)) resolve();
  }
}

function terminated(
  { code, signal }: ContainerExit,
  times: { startedAt: number; finishedAt: number },
): ContainerState {
  const reason = code === 0 ? 'Completed' : code === 127 ? 'ContainerCannotRun' : 'Error';
  return { kind: 'terminated', exitCode: code, signal, reason, ...times };
}
