/**
 * Where admitted calls go: the local endpoints of an export, and the mirror controller for the federation API. Pools
 * are made at first use and kept while the export is in the table, and there is room (`discovered_targets`).
 */
import type { RetryBudget } from '@mesh/balance/retry-budget';
import type { Clock } from '@mesh/clock/clock';
import { parseHostPort } from '@mesh/control-api/convert';
import type { Export, GatewayTable } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import type { Discovery, Target } from '@mesh/dataplane/discovery';
import type { EndpointPool } from '@mesh/dataplane/endpoint-pool';
import type { EndpointSpec } from '@mesh/dataplane/endpoint-spec';
import type { ForwardContext } from '@mesh/dataplane/exchange';
import type { FixedTarget, FixedTargets } from '@mesh/dataplane/fixed-targets';
import type { HttpMetrics } from '@mesh/dataplane/http-metrics';
import type { DataplaneLimit } from '@mesh/dataplane/limits';
import type { LimitLedger } from '@mesh/limits/limits';

interface Options {
  proxyName: string;
  clock: Clock;
  discovery: Discovery;
  fixed: FixedTargets;
  limits: LimitLedger<DataplaneLimit>;
  http: HttpMetrics;
  budget: () => RetryBudget;
}

interface Held {
  readonly target: Target;
  /** By source cluster. */
  readonly contexts: Map<string, ForwardContext>;
  readonly budget: RetryBudget;
  service: string;
  /** It was called since room was last looked for. */
  called: boolean;
}

export class ExportTargets {
  readonly #options: Options;
  /** What peers see in answers of this gateway. */
  readonly proxyName: string;
  /** By authority. */
  readonly #held: Map<string, Held> = new Map();
  #federation:
    | { key: string; target: FixedTarget; contexts: Map<string, ForwardContext>; budget: RetryBudget }
    | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.proxyName = options.proxyName;
  }

  /** Lets go of what is no longer exported; who ends what is in flight is the gateway. */
  keepOnly({ exports }: GatewayTable): void {
    const names = new Set(exports.map(({ namespace, name }) => `${namespace}/${name}`));
    for (const [authority, held] of this.#held) {
      if (names.has(held.service)) continue;
      this.#held.delete(authority);
      this.#options.discovery.release(held.target);
    }
  }

  /** Undefined when too many exports are being called at once. */
  context(authority: string, service: Export, sourceCluster: string): ForwardContext | undefined {
    const held = this.#hold(authority, service);
    if (held === undefined) return undefined;
    held.called = true;
    const known = held.contexts.get(sourceCluster);
    if (known !== undefined) return known;
    const context = this.#makeContext(held.target.pool, held.budget, {
      direction: 'inbound',
      tls: 'true',
      source_cluster: sourceCluster,
      target_service: service.name,
      target_service_namespace: service.namespace,
    });
    held.contexts.set(sourceCluster, context);
    return context;
  }

  pool(authority: string, service: Export): EndpointPool | undefined {
    const held = this.#hold(authority, service);
    if (held !== undefined) held.called = true;
    return held?.target.pool;
  }

  /** The mirror controller of this cluster; undefined when the table does not say where it is. */
  federation({ federation }: GatewayTable, sourceCluster: string): ForwardContext | undefined {
    const address = parseHostPort(federation?.address ?? '');
    if (federation === undefined || address === undefined) return undefined;
    const key = `${federation.address} ${federation.identity}`;
    if (this.#federation?.key !== key) {
      if (this.#federation !== undefined) this.#options.fixed.release(this.#federation.target);
      const target = this.#options.fixed.hold(mirrorEndpoint(address, federation.identity));
      this.#federation = { key, target, contexts: new Map(), budget: this.#options.budget() };
    }
    const known = this.#federation.contexts.get(sourceCluster);
    if (known !== undefined) return known;
    const context = this.#makeContext(this.#federation.target.pool, this.#federation.budget, {
      direction: 'inbound',
      tls: 'true',
      source_cluster: sourceCluster,
      target_service: 'federation',
      target_service_namespace: '',
    });
    this.#federation.contexts.set(sourceCluster, context);
    return context;
  }

  close(): void {
    for (const { target } of this.#held.values()) this.#options.discovery.release(target);
    this.#held.clear();
    this.#options.fixed.close();
  }

  #hold(authority: string, service: Export): Held | undefined {
    const known = this.#held.get(authority);
    if (known !== undefined) return known;
    const { discovery } = this.#options;
    if (discovery.full) this.#makeRoom();
    const target = discovery.hold(authority);
    if (target === undefined) return undefined;
    const held: Held = {
      target,
      contexts: new Map(),
      budget: this.#options.budget(),
      service: `${service.namespace}/${service.name}`,
      called: true,
    };
    this.#held.set(authority, held);
    return held;
  }

  /** Lets go of an export that nobody is calling; of one that was not called lately, if there is one. */
  #makeRoom(): void {
    let found: [authority: string, held: Held] | undefined;
    for (const candidate of this.#held) {
      const [, held] = candidate;
      const { pool } = held.target;
      if (pool.inFlight > 0 || pool.waiting > 0) continue;
      found ??= candidate;
      if (!held.called) {
        found = candidate;
        break;
      }
      held.called = false;
    }
    if (found === undefined) return;
    const [authority, { target }] = found;
    this.#held.delete(authority);
    this.#options.discovery.release(target);
  }

  #makeContext(
    pool: EndpointPool,
    budget: RetryBudget,
    labels: Readonly<Record<string, string>>,
  ): ForwardContext {
    const { clock, limits, http } = this.#options;
    return {
      clock,
      pool,
      budget,
      limits,
      proxyName: this.#options.proxyName,
      refuseUnsent: true,
      cells: http.cells(labels),
      countBy: 'client',
      retries: http.retries({ direction: 'inbound', outcome: 'sent' }),
      retriesDenied: http.retries({ direction: 'inbound', outcome: 'no_budget' }),
    };
  }
}

function mirrorEndpoint({ host, port }: { host: string; port: number }, identity: string): EndpointSpec {
  return {
    key: `${host}:${port}`,
    host,
    port,
    identity,
    protocol: 'h2',
    transportPort: 0,
    authorityOverride: '',
    tier: 0,
    weight: 1,
    labels: {},
  };
}
