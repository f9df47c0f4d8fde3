/**
 * The whole gateway. With one loop everything is in this process; with more, this process owns the certificate, the
 * control streams and the admin page, and its workers serve.
 */
import type { Clock, Random } from '@mesh/clock/clock';
import type { Config } from '@mesh/config/environment';
import { ControlChannel, type ControlStreams } from '@mesh/dataplane/control-channel';
import { lastGoodFile } from '@mesh/dataplane/forwarding-config';
import { LastGoodMemory } from '@mesh/dataplane/last-good-streams';
import { dataplaneLimits } from '@mesh/dataplane/limits';
import type { Workload } from '@mesh/dataplane/workload';
import { LimitLedger } from '@mesh/limits/limits';
import {
  adminLedgers,
  type AdminServer,
  type MetricsPage,
  type Readiness,
  startAdmin,
} from '@mesh/dataplane/admin-server';
import { limitMetrics } from '@mesh/telemetry/limit-metrics';
import { controlPlaneIdentity } from '@mesh/trust/names';
import type { gatewayConfig } from './config.ts';
import { gatewayLimits } from './limits.ts';
import { createServing } from './serving.ts';
import { StreamRelay } from './stream-relay.ts';
import { WorkerPool } from './worker-pool.ts';

interface StartOptions {
  config: Config<typeof gatewayConfig>;
  workload: Workload;
  clock: Clock;
  random: Random;
  /** How many loops serve. */
  workers: number;
  /** Given what ends the gateway before anything is waited for: starting may take as long as its slowest worker. */
  onStoppable?: (stop: () => Promise<void>) => void;
}

export interface RunningGateway {
  /** Port of peers. */
  readonly port: number;
  readonly adminPort: number;
  /** Stops accepting, lets requests in flight end within the grace period, then cuts what is left. */
  stop(): Promise<void>;
}

/** Whoever serves: this process or its workers. */
interface Serving {
  readonly page: MetricsPage;
  listen(): Promise<number>;
  ready(): Readiness;
  drain(): Promise<void>;
  close(): void;
}

/** Where the serving part gets its streams, and what else is counted on its page. */
interface Around {
  readonly streams: ControlStreams;
  readonly ledgers: readonly LimitLedger<string>[];
}

/** The certificate may come later: until then handshakes are refused, and the page says so. */
export async function startGateway(options: StartOptions): Promise<RunningGateway> {
  const { config, workload, clock, random, workers } = options;
  const { cluster, suffix, log, registry, credentials, identity, identityClient, http2Limits } = workload;
  const channel = new ControlChannel({
    clock,
    random,
    log,
    credentials,
    http2Limits,
    address: config.MESH_DESTINATION_ADDR,
    serverIdentity: controlPlaneIdentity('mesh-destination', cluster, suffix),
    suffix,
  });
  const limits = adminLedgers();
  const lastGoodLimits = new LimitLedger(dataplaneLimits);
  const lastGood = new LastGoodMemory({
    clock,
    log,
    registry,
    limits: lastGoodLimits,
    ...lastGoodFile(config, { identity, pod: config.MESH_POD_NAME }),
  });
  lastGood.load();
  const around = {
    streams: lastGood.over(channel, { credentials, meanwhile: false }),
    ledgers: [...Object.values(limits), lastGoodLimits],
  };
  const serving = workers === 1 ? oneLoop(options, around) : severalLoops(options, around);
  let stopping = false;
  let admin: AdminServer | undefined;
  const stop = async (): Promise<void> => {
    stopping = true;
    await serving.drain();
    await lastGood.close();
    serving.close();
    channel.close();
    identityClient.stop();
    await admin?.close();
  };
  options.onStoppable?.(stop);
  admin = await startAdmin({
    clock,
    port: config.MESH_ADMIN_PORT,
    registry: serving.page,
    limits,
    ready: () => {
      if (credentials.current === undefined) return { ready: false, reason: identityClient.fault };
      const { ready, reason } = serving.ready();
      if (ready) return { ready, reason, note: lastGood.note };
      return { ready, reason: stopping || channel.fault === '' ? reason : `${reason} (${channel.fault})` };
    },
  });
  const port = await serving.listen();
  if (!stopping) log.info('gateway serves', { cluster, port, adminPort: admin.port, workers });
  return { port, adminPort: admin.port, stop };
}

function oneLoop({ config, workload, clock, random }: StartOptions, { streams, ledgers }: Around): Serving {
  const serving = createServing({ config, workload, clock, random, streams, alsoCounted: ledgers });
  return { ...serving, page: workload.registry };
}

function severalLoops(options: StartOptions, { streams, ledgers }: Around): Serving {
  const { config, workload, clock, random, workers } = options;
  const { log, registry, credentials } = workload;
  const relay = new StreamRelay({ clock, streams });
  const limits = new LimitLedger(gatewayLimits);
  limitMetrics(registry, [limits, workload.http2Limits, ...ledgers]);
  const pool = new WorkerPool({
    clock,
    random,
    log,
    registry,
    credentials,
    relay,
    limits,
    workers,
    graceMs: config.MESH_SHUTDOWN_GRACE,
  });
  return {
    page: pool,
    listen: () => pool.start(),
    ready: () => pool.ready(),
    drain: () => pool.stop(),
    close: () => relay.close(),
  };
}
