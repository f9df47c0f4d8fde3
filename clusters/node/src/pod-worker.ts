import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, pause } from '@mesh/clock/clock';
import type { Container, Pod } from '@mesh/kube/types';
import { ContainerRun, type RestartPolicy } from './container-run.ts';
import type { ContainerProcess, ContainerRuntime } from './container-runtime.ts';
import { containerEnvironment, expandReferences, type ClusterData, type ConfigFault } from './environment.ts';
import type { PodAddresses } from './pod-addresses.ts';
import { podEtc } from './pod-etc.ts';
import { isSidecar, podStatus, type PodView } from './pod-status.ts';
import { PodVolumes, type TokenIssuer } from './pod-volumes.ts';
import { probeChecks } from './probe-checks.ts';
import type { Sandbox, SandboxOptions } from './sandbox.ts';
import { containerUser, type ContainerUser } from './security.ts';

export interface PodWorkerDeps {
  readonly clock: Clock;
  readonly addresses: PodAddresses;
  readonly runtime: ContainerRuntime;
  readonly createSandbox: (options: SandboxOptions) => Promise<Sandbox>;
  readonly data: ClusterData;
  readonly issue: TokenIssuer;
  readonly runDirectory: string;
  readonly logDirectory: string;
  readonly nodeAddress: string;
  readonly apiAddress: string;
  readonly dnsAddress: string;
  readonly clusterDomain: string;
  readonly backoff: { baseMs: number; capMs: number };
  /** The status may have changed. */
  readonly onChange: (worker: PodWorker) => void;
  readonly onEvent: (pod: Pod, reason: string, message: string) => void;
  readonly onError: (pod: Pod, error: unknown) => void;
}

const setupRetryMs = 500;
const defaultGraceSeconds = 30;
/** A sidecar gets a moment even when the apps used all of the time. */
const sidecarGraceMs = 1000;

/** Runs one pod from its first namespace to its last process. The pod's spec never changes once it is bound. */
export class PodWorker {
  /** Resolves when nothing of the pod is left on the node. */
  readonly done: Promise<void>;
  pod: Pod;
  readonly #deps: PodWorkerDeps;
  readonly #abort = new AbortController();
  readonly #startedAt: number;
  readonly #inits: ContainerRun[];
  readonly #apps: ContainerRun[];
  readonly #users: Map<string, ContainerUser> = new Map();
  #sandbox: Sandbox | undefined;
  #volumes: PodVolumes | undefined;
  #address: string | undefined;
  #failure: { reason: string; message: string } | undefined;
  #finished = false;
  #stopping: Promise<void> | undefined;
  /** Monotonic milliseconds at which the containers are killed; none before it stops. */
  #deadline = Number.POSITIVE_INFINITY;

  constructor(pod: Pod, deps: PodWorkerDeps) {
    this.pod = pod;
    this.#deps = deps;
    this.#startedAt = deps.clock.wall();
    const policy = restartPolicyOf(pod);
    const initPolicy: RestartPolicy = policy === 'Never' ? 'Never' : 'OnFailure';
    this.#inits = (pod.spec?.initContainers ?? []).map((container) =>
      this.#run(container, isSidecar(container) ? 'Always' : initPolicy),
    );
    this.#apps = (pod.spec?.containers ?? []).map((container) => this.#run(container, policy));
    this.done = this.#main();
  }

  /** What the status is made of. */
  view(): PodView {
    return {
      pod: this.pod,
      initContainers: this.#inits,
      containers: this.#apps,
      hostIp: this.#deps.nodeAddress,
      podIp: this.#address,
      startedAt: this.#startedAt,
      failure: this.#failure,
      finished: this.#finished,
    };
  }

  status(): NonNullable<Pod['status']> {
    return podStatus(this.view(), this.#deps.clock.wall());
  }

  /** Ends the pod; `graceSeconds` overrides what the object says. Resolves when nothing is left of it. */
  async terminate(graceSeconds?: number): Promise<void> {
    const ms = graceSeconds === undefined ? this.#graceMs() : graceSeconds * 1000;
    if (this.#stopping !== undefined) this.#hurry(ms);
    this.#abort.abort(new Error('the pod is terminated'));
    this.#stopping ??= this.#stop(ms);
    await this.done;
  }

  /** A second call with less patience ends sooner what the first one still waits for. */
  #hurry(ms: number): void {
    const { clock } = this.#deps;
    const kill = (runs: readonly ContainerRun[]): void => {
      for (const run of runs) run.signal('SIGKILL');
    };
    if (ms === 0) {
      kill([...this.#apps, ...this.#inits]);
      return;
    }
    const deadline = clock.now() + ms;
    if (deadline >= this.#deadline) return;
    this.#deadline = deadline;
    const sidecars = this.#inits.filter(({ container }) => isSidecar(container));
    const others = [...this.#apps, ...this.#inits].filter((run) => !sidecars.includes(run));
    clock.after(ms, () => kill(others), true);
    clock.after(ms + sidecarGraceMs, () => kill(sidecars), true);
  }

  /** Writes volumes again, when a ConfigMap or Secret changed. */
  refreshVolumes(): void {
    this.#volumes?.refreshBehind();
  }

  /** Signals the main process of a container; false when there is none that runs. */
  signal(container: string, name: NodeJS.Signals): boolean {
    const run = [...this.#apps, ...this.#inits].find((candidate) => candidate.container.name === container);
    return run?.signal(name) ?? false;
  }

  async #main(): Promise<void> {
    const { signal } = this.#abort;
    try {
      const fault = this.#check();
      if (fault !== undefined) {
        await this.#refuse(fault.fault);
        return;
      }
      if (!(await this.#setUp())) return;
      if (!(await this.#initialize())) return;
      for (const run of this.#apps) run.launch();
      await Promise.race([
        Promise.all(this.#apps.map((run) => run.finished)),
        this.#sandbox?.ended.then(() => this.#lost()),
      ]);
    } catch (thrown) {
      if (!signal.aborted) {
        this.#deps.onError(this.pod, thrown);
        this.#failure = {
          reason: 'NodeError',
          message: thrown instanceof Error ? thrown.message : String(thrown),
        };
      }
    } finally {
      this.#stopping ??= this.#stop(this.#graceMs());
      await this.#stopping;
      await this.#release();
    }
  }

  /**
   * A pod that cannot run here waits and says why until it is deleted, as with a kubelet. One that failed would be
   * replaced by its ReplicaSet at once, and so would the next one.
   */
  async #refuse(message: string): Promise<void> {
    const { onChange, onEvent } = this.#deps;
    const { signal } = this.#abort;
    for (const run of [...this.#inits, ...this.#apps]) {
      run.state = { kind: 'waiting', reason: 'CreateContainerConfigError', message };
    }
    onEvent(this.pod, 'Failed', `Error: ${message}`);
    onChange(this);
    if (!signal.aborted) await once(signal, 'abort');
  }

  #graceMs(): number {
    const { metadata, spec } = this.pod;
    const seconds = metadata?.deletionGracePeriodSeconds ?? spec?.terminationGracePeriodSeconds;
    return (seconds ?? defaultGraceSeconds) * 1000;
  }

  #lost(): void {
    if (this.#stopping !== undefined) return;
    this.#failure = { reason: 'SandboxLost', message: 'The first process of the pod ended.' };
  }

  #check(): ConfigFault | undefined {
    const { spec } = this.pod;
    if (spec?.hostNetwork === true || spec?.hostPID === true || spec?.hostIPC === true) {
      return { fault: 'hostNetwork, hostPID and hostIPC are not supported on this node' };
    }
    for (const { container } of [...this.#inits, ...this.#apps]) {
      if ((container.command ?? []).length === 0) {
        return {
          fault: `container "${container.name}" has no command: this node runs processes, an image has no entry point here`,
        };
      }
      const user = containerUser(this.pod, container);
      if ('fault' in user) return user;
      this.#users.set(container.name, user);
    }
    return undefined;
  }

  /** Address, namespaces, /etc and volumes; false when the pod was terminated meanwhile. */
  async #setUp(): Promise<boolean> {
    const { addresses, clock, createSandbox, data, issue, nodeAddress, onError, onEvent } = this.#deps;
    const { signal } = this.#abort;
    const uid = this.pod.metadata?.uid ?? '';
    let address = addresses.allocate(uid);
    while (address === undefined) {
      onEvent(this.pod, 'FailedCreatePodSandBox', 'no free pod address on the node');
      if (!(await pause(clock, setupRetryMs, signal))) return false;
      address = addresses.allocate(uid);
    }
    this.#address = address;
    for (let why = ''; this.#sandbox === undefined; ) {
      try {
        this.#sandbox = await createSandbox({ hostname: hostnameOf(this.pod), address, nodeAddress });
      } catch (thrown) {
        const message = thrown instanceof Error ? thrown.message : String(thrown);
        if (message !== why) onEvent(this.pod, 'FailedCreatePodSandBox', message);
        why = message;
        if (!(await pause(clock, setupRetryMs, signal))) return false;
      }
    }
    const directory = this.#directory();
    this.#writeEtc(join(directory, 'etc'), address);
    this.#volumes = new PodVolumes({
      directory: join(directory, 'volumes'),
      context: { pod: this.pod, podIp: address, hostIp: nodeAddress, data },
      issue,
      clock,
      onError: (error) => onError(this.pod, error),
    });
    this.#deps.onChange(this);
    let told = '';
    for (;;) {
      if (signal.aborted) return false;
      const fault = await this.#volumes.refresh();
      if (fault === undefined) return !signal.aborted;
      if (told !== fault.fault) onEvent(this.pod, 'FailedMount', `MountVolume.SetUp failed: ${fault.fault}`);
      told = fault.fault;
      if (!(await pause(clock, setupRetryMs, signal))) return false;
    }
  }

  #writeEtc(etc: string, address: string): void {
    const { dnsAddress, clusterDomain } = this.#deps;
    const { spec, metadata } = this.pod;
    mkdirSync(etc, { recursive: true, mode: 0o755 });
    const files = podEtc({
      hostname: hostnameOf(this.pod),
      address,
      namespace: metadata?.namespace ?? 'default',
      dnsAddress,
      clusterDomain,
      users: [...this.#users.values()],
      dnsPolicy: spec?.dnsPolicy ?? 'ClusterFirst',
      dnsConfig: spec?.dnsConfig,
      hostAliases: spec?.hostAliases,
    });
    for (const [name, content] of files) writeFileSync(join(etc, name), content, { mode: 0o644 });
  }

  /** Init containers one after the other; sidecars stay behind. False when the pod ends here. */
  async #initialize(): Promise<boolean> {
    for (const run of this.#inits) {
      run.launch();
      if (isSidecar(run.container)) await run.whenStarted();
      else await run.finished;
      if (this.#abort.signal.aborted) return false;
      if (!isSidecar(run.container) && !run.succeeded) return false;
    }
    return true;
  }

  #run(container: Container, restartPolicy: RestartPolicy): ContainerRun {
    const { clock, backoff, onChange, onEvent, runtime } = this.#deps;
    return new ContainerRun({
      container,
      restartPolicy,
      clock,
      backoff,
      graceSeconds: this.pod.spec?.terminationGracePeriodSeconds ?? defaultGraceSeconds,
      onChange: () => onChange(this),
      onEvent: (reason, message) => onEvent(this.pod, reason, message),
      checks: (process) => probeChecks({ container, address: this.#address ?? '', process, clock }),
      start: async (attempt) => await this.#start(runtime, container, attempt),
    });
  }

  async #start(
    runtime: ContainerRuntime,
    container: Container,
    attempt: number,
  ): Promise<ContainerProcess | ConfigFault> {
    const { data, nodeAddress, apiAddress, logDirectory } = this.#deps;
    const { metadata } = this.pod;
    const user = this.#users.get(container.name);
    const sandbox = this.#sandbox;
    const volumes = this.#volumes;
    if (user === undefined || sandbox === undefined || volumes === undefined) {
      return { fault: 'the pod has no namespaces' };
    }
    const environment = containerEnvironment({
      pod: this.pod,
      container,
      podIp: sandbox.address,
      hostIp: nodeAddress,
      data,
      apiAddress,
    });
    if ('fault' in environment) return environment;
    const mounts = volumes.mounts(container, environment);
    if ('fault' in mounts) return mounts;
    const expand = (words: string[] | undefined): string[] =>
      (words ?? []).map((word) => expandReferences(word, environment));
    const directory = join(this.#directory(), 'containers', `${container.name}.${attempt}`);
    rmSync(join(this.#directory(), 'containers', `${container.name}.${attempt - 1}`), {
      recursive: true,
      force: true,
    });
    return await runtime.start({
      sandbox,
      directory,
      etc: join(this.#directory(), 'etc'),
      logFile: join(
        logDirectory,
        metadata?.namespace ?? 'default',
        metadata?.name ?? '',
        `${container.name}.log`,
      ),
      container: { ...container, command: expand(container.command), args: expand(container.args) },
      environment,
      user,
      mounts,
    });
  }

  /** Apps first, all at once; then sidecars in reverse order; all within the grace period. */
  async #stop(graceMs: number): Promise<void> {
    const { clock } = this.#deps;
    this.#deadline = clock.now() + graceMs;
    const left = (): number => Math.max(0, this.#deadline - clock.now());
    const plainInits = this.#inits.filter(({ container }) => !isSidecar(container));
    await Promise.all([...this.#apps, ...plainInits].map((run) => run.stop(left())));
    for (const run of this.#inits.toReversed()) {
      if (isSidecar(run.container)) await run.stop(graceMs === 0 ? 0 : Math.max(left(), sidecarGraceMs));
    }
  }

  async #release(): Promise<void> {
    await this.#volumes?.close();
    await this.#sandbox?.destroy();
    if (this.#address !== undefined) this.#deps.addresses.release(this.#address);
    try {
      rmSync(this.#directory(), { recursive: true, force: true });
    } catch (thrown) {
      // What is left is under the pod's uid, which never comes again: it harms no other pod.
      this.#deps.onError(this.pod, thrown);
    }
    this.#finished = true;
    this.#deps.onChange(this);
  }

  #directory(): string {
    return join(this.#deps.runDirectory, 'pods', this.pod.metadata?.uid ?? '');
  }
}

function hostnameOf(pod: Pod): string {
  return (pod.spec?.hostname ?? pod.metadata?.name ?? 'pod').slice(0, 63);
}

function restartPolicyOf(pod: Pod): RestartPolicy {
  const policy = pod.spec?.restartPolicy;
  return policy === 'Never' || policy === 'OnFailure' ? policy : 'Always';
}
