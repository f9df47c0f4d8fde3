import { type Counter, type Family, type Gauge, type MetricRegistry } from '@mesh/telemetry/metrics';
import type { AdmissionRefusal } from './admission.ts';

/** What the gateway counts beyond request metrics; every series names the source cluster. */
export class GatewayMetrics {
  readonly #connections: Family<Gauge>;
  readonly #refusedConnections: Family<Counter>;
  readonly #refusedRequests: Family<Counter>;
  readonly #federation: Family<Counter>;

  constructor(registry: MetricRegistry) {
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
      'Requests and opaque connections refused, by source cluster and reason.',
    );
    this.#federation = registry.counter(
      'gateway_federation_requests_total',
      'Calls of peers to the federation API.',
    );
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

  federationRequest(cluster: string): void {
    this.#federation.with({ source_cluster: cluster }).add();
  }
}
