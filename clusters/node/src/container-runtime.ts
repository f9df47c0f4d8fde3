import type { Container } from '@mesh/kube/types';
import type { Mount } from './rootfs.ts';
import type { Sandbox } from './sandbox.ts';
import type { ContainerUser } from './security.ts';

/** How a container ended: `signal` when one killed it, with `code` 128 + its number. */
export interface ContainerExit {
  readonly code: number;
  readonly signal: number;
}

export interface ContainerStart {
  readonly sandbox: Sandbox;
  /** Private directory of the container on the node. */
  readonly directory: string;
  /** Directory of the pod's /etc files. */
  readonly etc: string;
  readonly logFile: string;
  readonly container: Container;
  readonly environment: ReadonlyMap<string, string>;
  readonly user: ContainerUser;
  readonly mounts: readonly Mount[];
}

/** A running container. */
export interface ContainerProcess {
  readonly exited: Promise<ContainerExit>;
  /** Sends a signal to the main process; SIGKILL also to everything it started. */
  signal(name: NodeJS.Signals): void;
  /** Runs a command inside; resolves to its exit code, 137 when it took longer than `timeoutMs`. */
  execute(command: readonly string[], timeoutMs: number): Promise<number>;
}

/** What starts containers; the real one uses namespaces, tests put their own here. */
export interface ContainerRuntime {
  start(options: ContainerStart): Promise<ContainerProcess>;
}
