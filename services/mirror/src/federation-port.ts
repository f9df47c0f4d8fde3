/** The port where the own gateway hands over what peers ask of this cluster. */
import type { Clock } from '@mesh/clock/clock';
import type { Config } from '@mesh/config/environment';
import type { GrpcRoutes } from '@mesh/control-api/grpc-server';
import { type ControlLimits, ControlServer, controlMetrics } from '@mesh/dataplane/control-server';
import type { Workload } from '@mesh/dataplane/workload';
import type { PeerIdentity } from '@mesh/trust/names';
import type { mirrorConfig } from './config.ts';

const maxAgeMs = 3_600_000;

/** It listens once it is started. */
export function federationPort(
  federation: GrpcRoutes<PeerIdentity>,
  {
    config,
    workload,
    clock,
    limits,
  }: { config: Config<typeof mirrorConfig>; workload: Workload; clock: Clock; limits: ControlLimits },
): ControlServer {
  const { cluster, suffix, credentials, log, registry } = workload;
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
