/**
 * A worker of a pool that serves nobody: it is ready at once, asks one question, and ends when it is told to drain. Of clients it shows
 * another one each time that it is asked.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { Gateway, WatchRequestSchema } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import { methodName } from '@mesh/dataplane/control-channel';
import { takeSnapshot } from '@mesh/telemetry/metric-snapshot';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import type { ToPrimary, ToWorker } from '../worker-messages.ts';

const send = (message: ToPrimary): void => {
  process.send?.(message);
};

let asked = 0;

process.on('message', ({ kind }: ToWorker) => {
  if (kind === 'drain') process.exit(0);
  if (kind !== 'collect') return;
  const registry = new MetricRegistry();
  const requests = registry.counter('request_total', 'Requests.', { forgetful: true });
  requests.with({ client: String(++asked) }).add(5);
  send({ kind: 'metrics', metrics: takeSnapshot(registry) });
});
process.on('disconnect', () => process.exit(1));
send({
  kind: 'watch',
  stream: 1,
  method: methodName(Gateway.method.watch),
  input: toBinary(WatchRequestSchema, create(WatchRequestSchema, {})),
});
send({ kind: 'state', state: { ready: true, reason: '', port: 1, connections: 0 } });
