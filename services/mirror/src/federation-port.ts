/** The port where the own gateway hands over what peers ask of this cluster. */
import type { Clock } from '@mesh/clock/clock';
import type { Config } from '@mesh/config/environment';
import type { GrpcRoutes } from '@mesh/control-api/grpc-server';
import { ControlServer, controlLimits, controlMetrics } from '@mesh/dataplane/control-server';
import { limitMetrics } from '@mesh/dataplane/process-metrics';
import type { Workload } from '@mesh/dataplane/workload';
import type { PeerIdentity } from '@mesh/trust/names';
import type { mirrorConfig } from './config.ts';

const maxAgeMs = 3_600_000;

/** Its limits are counted on the page of the program; it listens once it is started. */
export function federationPort(
  federation: GrpcRoutes<PeerIdentity>,
  { config, workload, clock }: { config: Config<typeof mirrorConfig>; workload: Workload; clock: Clock },
): ControlServer {
  const { cluster, suffix, credentials, log, registry, http2Limits } = workload;
  const limits = controlLimits();
  limitMetrics(registry, [limits.grpc, limits.http2, http2Limits]);
  return new ControlServer({
    port: config.MESH_FEDERATION_PORT,
    services: [federation],
    cluster,
    trustSuffix: suffix,
    credentials,
    clock,
    log,
    metrics: controlMetrics(registry),
    limits,
    maxAgeMs,
  });
}
