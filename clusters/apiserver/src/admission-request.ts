import type { User } from './authentication.ts';
import type { KubeObject } from './object.ts';
import type { ResourceInfo } from './resources.ts';

export type Operation = 'CREATE' | 'UPDATE' | 'DELETE';

/** What admission looks at of one write, beside the object itself. */
export interface AdmissionRequest {
  readonly info: ResourceInfo;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
  readonly operation: Operation;
  readonly user: User;
  readonly dryRun: boolean;
  readonly oldObject: KubeObject | undefined;
  /** Adds a Warning header to the response. */
  warn(message: string): void;
}
