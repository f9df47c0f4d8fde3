/** What the balancers of destinations in use are doing, set at scrape time. */
import type { Counter, Family, Gauge, MetricRegistry } from '@mesh/telemetry/metrics';
import type { EndpointPool } from './endpoint-pool.ts';

export class BalancerMetrics {
  readonly #endpoints: Family<Gauge>;
  readonly #tier: Family<Gauge>;
  readonly #spill: Family<Gauge>;
  readonly #inFlight: Family<Gauge>;
  readonly #queued: Family<Gauge>;
  readonly #ejections: Family<Counter>;

  constructor(registry: MetricRegistry) {
    this.#endpoints = registry.gauge(
      'mesh_balancer_endpoints',
      'Endpoints of a destination in use, by state: ready, ejected (its breaker is open) or pending (cannot be reached).',
      { merge: 'max' },
    );
    this.#tier = registry.gauge('mesh_balancer_active_tier', 'Tier that carries traffic; -1 for none.', {
      merge: 'max',
    });
    this.#spill = registry.gauge(
      'mesh_balancer_spill_ratio',
      'Share of requests that leave the cluster because too few local endpoints are ready; 0 unless a Service has mirror.mesh.io/spill-below.',
      { merge: 'max' },
    );
    this.#inFlight = registry.gauge(
      'mesh_balancer_in_flight',
      'Requests and opaque connections to a destination that began and did not end.',
    );
    this.#queued = registry.gauge(
      'mesh_balancer_queued',
      'Requests and opaque connections that wait for an endpoint of a destination to be ready.',
    );
    this.#ejections = registry.counter(
      'mesh_breaker_ejections_total',
      'How often the breaker of an endpoint opened, failed probes included.',
    );
  }

  update(authority: string, pool: EndpointPool): void {
    const { ready, ejected } = pool;
    this.#endpoints.with({ authority, endpoint_state: 'ready' }).set(ready);
    this.#endpoints.with({ authority, endpoint_state: 'ejected' }).set(ejected);
    this.#endpoints.with({ authority, endpoint_state: 'pending' }).set(pool.size - ready - ejected);
    this.#tier.with({ authority }).set(pool.activeTier);
    this.#spill.with({ authority }).set(pool.spillShare);
    this.#inFlight.with({ authority }).set(pool.inFlight);
    this.#queued.with({ authority }).set(pool.waiting);
    if (pool.ejections > 0) this.#ejections.with({ authority }).value = pool.ejections;
  }

  /** The destination is no longer in use. */
  forget(authority: string): void {
    for (const state of ['ready', 'ejected', 'pending']) {
      this.#endpoints.remove({ authority, endpoint_state: state });
    }
    for (const family of [this.#tier, this.#spill, this.#inFlight, this.#queued])
      family.remove({ authority });
    this.#ejections.remove({ authority });
  }
}
