import type { ClusterObjects } from './cluster-objects.ts';
import type { Notifier } from './notifier.ts';
import type { Settings } from './settings.ts';
import type { TargetRegistry } from './target-registry.ts';

/** What the gRPC services share. */
export interface Services {
  readonly objects: ClusterObjects;
  readonly notifier: Notifier;
  readonly registry: TargetRegistry;
  readonly settings: Settings;
  /** False while the Link objects have not been read: no table can be told yet. */
  readonly linksKnown: () => boolean;
}
