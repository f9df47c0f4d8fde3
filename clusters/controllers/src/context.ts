import type { Clock, Random } from '@mesh/clock/clock';
import type { KubeClient } from '@mesh/kube/client';
import type { Logger } from '@mesh/telemetry/log';
import type { InformerSet } from './informer-set.ts';

/** What every controller is given. */
export interface ControllerContext {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly informers: InformerSet;
}

export interface Controller {
  readonly name: string;
  start(): void;
  /** Resolves when nothing of it runs any more. */
  stop(): Promise<void>;
}

/** RFC 3339 with seconds, as the API has it. */
export function apiTime(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 19)}Z`;
}
