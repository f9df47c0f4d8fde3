/**
 * One worker: serves peers with what the primary tells it. It has no connection to the control plane, and its life is
 * the primary's: when that is gone, so is the worker.
 */
import type { Clock, Random } from '@mesh/clock/clock';
import type { Config } from '@mesh/config/environment';
import { usageMetrics } from '@mesh/dataplane/process-metrics';
import { trustSuffix } from '@mesh/dataplane/workload';
import { http2Limits } from '@mesh/http2/limits';
import { LimitLedger } from '@mesh/limits/limits';
import { createLogger } from '@mesh/telemetry/log';
import { takeSnapshot } from '@mesh/telemetry/metric-snapshot';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { CredentialStore } from '@mesh/trust/credentials';
import type { gatewayConfig } from './config.ts';
import { RelayedStreams } from './relayed-streams.ts';
import { createServing } from './serving.ts';
import { receiveCredentials, type ToPrimary, type ToWorker } from './worker-messages.ts';

const stateMs = 1000;

export interface WorkerOptions {
  config: Config<typeof gatewayConfig>;
  clock: Clock;
  random: Random;
  /** Which of the workers this is, for its log lines. */
  worker: number;
  /** How many there are: what one program may hold is shared between them. */
  workers: number;
  write: (line: string) => void;
  /** `sent` is called once the message has left. */
  send: (message: ToPrimary, sent?: () => void) => void;
  onMessage: (receive: (message: ToWorker) => void) => void;
  /** Everything ended in order. */
  onStopped: () => void;
}

export async function startWorker(options: WorkerOptions): Promise<void> {
  const { config, clock, random, worker, workers, write, send, onMessage, onStopped } = options;
  const registry = new MetricRegistry();
  usageMetrics(registry);
  const credentials = new CredentialStore();
  const streams = new RelayedStreams(send);
  const serving = createServing({
    config,
    clock,
    random,
    streams,
    workload: {
      cluster: config.MESH_CLUSTER,
      suffix: trustSuffix(config.MESH_CLUSTER, config.MESH_TRUST_DOMAIN),
      log: createLogger({ clock, level: config.MESH_LOG_LEVEL, write, fields: { worker } }),
      registry,
      credentials,
      http2Limits: new LimitLedger(http2Limits, {
        http2_owed_budget_bytes: Math.floor(http2Limits.http2_owed_budget_bytes.default / workers),
        http2_head_budget_bytes: Math.floor(http2Limits.http2_head_budget_bytes.default / workers),
        http2_window_budget_bytes: Math.floor(http2Limits.http2_window_budget_bytes.default / workers),
      }),
    },
  });
  let port = 0;
  const report = (): void => {
    const { ready, reason } = port === 0 ? { ready: false, reason: 'does not listen yet' } : serving.ready();
    send({ kind: 'state', state: { ready, reason, port, connections: serving.open } });
  };
  const stop = async (): Promise<void> => {
    await serving.drain();
    serving.close();
    reporter.cancel();
    // What was counted until now outlives this process.
    send({ kind: 'metrics', metrics: takeSnapshot(registry) }, onStopped);
  };
  let stopping = false;
  const receive = (message: ToWorker): void => {
    switch (message.kind) {
      case 'credentials':
        credentials.update(receiveCredentials(message.credentials));
        report();
        return;
      case 'collect':
        report();
        send({ kind: 'metrics', metrics: takeSnapshot(registry) });
        return;
      case 'drain':
        if (stopping) return;
        stopping = true;
        void stop();
        return;
      default:
        streams.receive(message);
        // The first table makes this worker ready, which must not wait for the next report.
        if (message.kind === 'message' && message.first) report();
    }
  };
  onMessage(receive);
  const reporter = clock.every(stateMs, report);
  port = await serving.listen();
  report();
}
