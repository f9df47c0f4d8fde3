/** A worker of a pool that serves nobody: it is ready at once, asks one question, and ends when it is told to drain. */
import { create, toBinary } from '@bufbuild/protobuf';
import { Gateway, WatchRequestSchema } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import { methodName } from '@mesh/dataplane/control-channel';
import type { ToPrimary, ToWorker } from '../worker-messages.ts';

const send = (message: ToPrimary): void => {
  process.send?.(message);
};

process.on('message', ({ kind }: ToWorker) => {
  if (kind === 'drain') process.exit(0);
});
process.on('disconnect', () => process.exit(1));
send({
  kind: 'watch',
  stream: 1,
  method: methodName(Gateway.method.watch),
  input: toBinary(WatchRequestSchema, create(WatchRequestSchema, {})),
});
send({ kind: 'state', state: { ready: true, reason: '', port: 1, connections: 0 } });
