import type { Family, Gauge, MetricRegistry } from '@mesh/telemetry/metrics';
import type { SessionStatus } from './peer-session.ts';

const stateValue = { dead: 0, alive: 1, unknown: 2 } as const;

/** Link health as metrics, per peer. Names follow what users of mirrored clusters already graph. */
export class LinkMetrics {
  readonly #cluster: string;
  readonly #sessions: Map<string, () => SessionStatus> = new Map();
  readonly #alive: Family<Gauge>;
  readonly #latency: Family<Gauge>;
  readonly #age: Family<Gauge>;
  readonly #held: Family<Gauge>;

  constructor(registry: MetricRegistry, cluster: string) {
    this.#cluster = cluster;
    this.#alive = registry.gauge('gateway_alive', 'Verdict on a peer: 1 alive, 0 dead, 2 unknown.');
    this.#latency = registry.gauge(
      'gateway_latency_ms',
      'Round trip to a peer through its gateway, milliseconds.',
    );
    this.#age = registry.gauge('mesh_link_data_age_seconds', 'Time since a peer was last heard.');
    this.#held = registry.gauge(
      'mesh_link_held_removals',
      'Exports whose withdrawal waits, because too many went at once.',
    );
    registry.onCollect(() => this.#collect());
  }

  add(peer: string, status: () => SessionStatus): void {
    this.#sessions.set(peer, status);
  }

  remove(peer: string): void {
    this.#sessions.delete(peer);
    for (const family of [this.#alive, this.#latency, this.#age, this.#held])
      family.remove(this.#labels(peer));
  }

  #labels(peer: string): { source_cluster: string; target_cluster: string } {
    return { source_cluster: this.#cluster, target_cluster: peer };
  }

  #collect(): void {
    for (const [peer, status] of this.#sessions) {
      const labels = this.#labels(peer);
      const { state, rttMs, silentMs, heldRemovals } = status();
      this.#alive.with(labels).set(stateValue[state]);
      if (rttMs !== undefined) this.#latency.with(labels).set(rttMs);
      if (silentMs !== undefined) this.#age.with(labels).set(silentMs / 1000);
      this.#held.with(labels).set(heldRemovals);
    }
  }
}
