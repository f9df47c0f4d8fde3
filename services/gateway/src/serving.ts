/** What one loop of the gateway serves with: pools of exports, admission, and the port of peers. */
import { RetryBudget } from '@mesh/balance/retry-budget';
import type { Clock, Random } from '@mesh/clock/clock';
import type { Config } from '@mesh/config/environment';
import { Gateway as GatewayService } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import { SocketConnector } from '@mesh/dataplane/connector';
import type { ControlStreams } from '@mesh/dataplane/control-channel';
import { Discovery } from '@mesh/dataplane/discovery';
import { Drain } from '@mesh/dataplane/drain';
import { forwardingLimits } from '@mesh/dataplane/forwarding-config';
import { FixedTargets } from '@mesh/dataplane/fixed-targets';
import { HttpMetrics } from '@mesh/dataplane/http-metrics';
import { OpaqueExpiry } from '@mesh/dataplane/opaque-expiry';
import { defaultCodecs } from '@mesh/dataplane/peer';
import { PeerPool } from '@mesh/dataplane/peer-pool';
import { windowMetrics } from '@mesh/dataplane/process-metrics';
import type { Workload } from '@mesh/dataplane/workload';
import { LimitLedger } from '@mesh/limits/limits';
import type { Readiness } from '@mesh/dataplane/admin-server';
import { limitMetrics } from '@mesh/telemetry/limit-metrics';
import { trustLimits } from '@mesh/trust/limits';
import { gatewayIdentity } from '@mesh/trust/names';
import type { gatewayConfig } from './config.ts';
import { ExportTargets } from './exports.ts';
import { Gateway } from './gateway.ts';
import { GatewayMetrics } from './gateway-metrics.ts';

/** Pools of destinations that were let go of are kept this long. */
const idleMs = 600_000;

export interface ServingOptions {
  config: Config<typeof gatewayConfig>;
  clock: Clock;
  random: Random;
  workload: Pick<Workload, 'cluster' | 'suffix' | 'log' | 'registry' | 'credentials' | 'http2Limits'>;
  streams: ControlStreams;
  /** Ledgers of the program around it, for the same page. */
  alsoCounted?: readonly LimitLedger<string>[];
}

export interface Serving {
  /** Resolves with the port. */
  listen(): Promise<number>;
  ready(): Readiness;
  /** Connections of peers. */
  readonly open: number;
  /** Stops accepting, lets requests in flight end within the grace period, then cuts what is left. */
  drain(): Promise<void>;
  /** Lets go of everything else; after `drain`. */
  close(): void;
}

/** The certificate may come later: until then handshakes are refused. */
export function createServing({
  config,
  workload,
  clock,
  random,
  streams,
  alsoCounted = [],
}: ServingOptions): Serving {
  const { cluster, suffix, log, registry, credentials } = workload;
  const limits = forwardingLimits(config, 1);
  const codecs = defaultCodecs(workload.http2Limits);
  const peers = new PeerPool({
    clock,
    random,
    connector: new SocketConnector({ clock, credentials, suffix, limits }),
    limits,
    ...codecs,
  });
  const tlsLimits = new LimitLedger(trustLimits);
  limitMetrics(registry, [limits, tlsLimits, codecs.http1Limits, codecs.http2Limits, ...alsoCounted]);
  windowMetrics(registry, codecs.windowBudget);
  const http = new HttpMetrics(registry);
  const forgetting = registry.forgetIdle(clock);
  // Requests are counted by who called and what for; the endpoint behind it counts them again on its side.
  const uncounted = http.cells({ direction: 'inbound', tls: 'true' });
  const pool = { peers, failfast: 'failfast_outbound_ms' as const, cells: () => uncounted };
  const discovery = new Discovery({
    clock,
    log,
    channel: streams,
    registry,
    limits,
    contextToken: JSON.stringify({
      ns: config.MESH_NAMESPACE,
      nodeName: config.MESH_NODE_NAME,
      pod: config.MESH_POD_NAME,
    }),
    pool,
    idleMs,
    // A gateway never passes a request on to another cluster: only endpoints of its own count.
    accepts: ({ authorityOverride, labels }) =>
      authorityOverride === '' && labels['dst_target_cluster'] === undefined,
  });
  const targets = new ExportTargets({
    proxyName: gatewayIdentity(cluster, suffix),
    clock,
    discovery,
    fixed: new FixedTargets({ clock, pool: { ...pool, limits }, idleMs }),
    limits,
    http,
    budget: () => new RetryBudget(clock),
  });
  const drain = new Drain();
  const expiry = new OpaqueExpiry({ clock, log, registry, limits });
  const metrics = new GatewayMetrics(registry, clock);
  const gateway = new Gateway({
    cluster,
    suffix,
    clusterDomain: config.MESH_CLUSTER_DOMAIN,
    clock,
    log,
    credentials,
    tlsLimits,
    codecs,
    drain,
    targets,
    metrics,
    peers,
    expiry,
    maxAgeMs: config.MESH_GATEWAY_CONNECTION_MAX_AGE,
  });
  const watch = streams.keep(
    GatewayService.method.watch,
    { instance: config.MESH_POD_NAME },
    {
      onMessage: (table) => {
        metrics.tableTold();
        gateway.update(table);
      },
      onInterrupted: (agoMs = 0) => metrics.tableSilent(agoMs),
      onRejected: ({ message }) => log.error('destination refused the gateway', { detail: message }),
    },
  );
  return {
    listen: () => gateway.listen(config.MESH_GATEWAY_PORT),
    ready() {
      if (drain.draining) return { ready: false, reason: 'stopping' };
      const { current } = credentials;
      if (current === undefined) return { ready: false, reason: 'no certificate yet' };
      if (current.notAfter <= clock.wall()) return { ready: false, reason: 'the certificate expired' };
      return { ready: gateway.informed, reason: 'destination has not said yet what is exported' };
    },
    get open() {
      return drain.open;
    },
    drain: () => drain.drain(clock, config.MESH_SHUTDOWN_GRACE),
    close() {
      forgetting.cancel();
      watch.cancel();
      gateway.close();
      targets.close();
      discovery.close();
      peers.close();
      expiry.close();
    },
  };
}
