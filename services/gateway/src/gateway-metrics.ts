import type { Clock } from '@mesh/clock/clock';
import { type Counter, type Family, type Gauge, type MetricRegistry } from '@mesh/telemetry/metrics';
import type { AdmissionRefusal } from './admission.ts';

/** What the gateway counts beyond request metrics; every series names the source cluster. */
export class GatewayMetrics {
  readonly #connections: Family<Gauge>;
  readonly #refusedConnections: Family<Counter>;
  readonly #refusedRequests: Family<Counter>;
  readonly #federation: Family<Counter>;
  readonly #clock: Clock;
  #tableKnown = false;
  /** When the stream of the table ended that has not spoken since. */
  #tableSilentSince: number | undefined;

  constructor(registry: MetricRegistry, clock: Clock) {
    this.#clock = clock;
    this.#connections = registry.gauge(
      'gateway_connections',
      'Open connections of peers, by source cluster.',
    );
    this.#refusedConnections = registry.counter(
      'gateway_connections_refused_total',
      'Connections refused, by reason.',
    );
    this.#refusedRequests = registry.counter(
      'gateway_requests_refused_total',
      'Requests and opaque connections refused, and requests ended because the table changed, by source cluster and reason.',
    );
    this.#federation = registry.counter(
      'gateway_federation_requests_total',
      'Calls of peers to the federation API.',
    );
    const age = registry.gauge(
      'gateway_table_age_seconds',
      'How long the table of exports and peers has not been watched; 0 while it is, absent before the first one.',
      { merge: 'max' },
    );
    registry.onCollect(() => {
      if (!this.#tableKnown) return;
      const since = this.#tableSilentSince;
      age.with().set(since === undefined ? 0 : (this.#clock.now() - since) / 1000);
    });
  }

  connection(cluster: string, change: 1 | -1): void {
    this.#connections.with({ source_cluster: cluster }).add(change);
  }

  connectionRefused(reason: string): void {
    this.#refusedConnections.with({ reason }).add();
  }

  requestRefused(cluster: string, reason: AdmissionRefusal): void {
    this.#refusedRequests.with({ source_cluster: cluster, reason }).add();
  }

  /** A table came. */
  tableTold(): void {
    this.#tableKnown = true;
    this.#tableSilentSince = undefined;
  }

  /** The stream of the table ended `agoMs` ago and is asked for again. */
  tableSilent(agoMs: number): void {
    this.#tableSilentSince ??= this.#clock.now() - agoMs;
  }

  federationRequest(cluster: string): void {
    this.#federation.with({ source_cluster: cluster }).add();
  }
}
