/**
 * Stands in the place of a cluster's mirror controller, with its identity and behind its real gateway, and tells peers
 * whatever it is given: `HOSTILE_EXPORTS` holds the exports of the snapshot as JSON.
 */
import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { systemClock as clock, systemRandom as random } from '@mesh/clock/system';
import { readConfig } from '@mesh/config/environment';
import { ExportSchema, Federation } from '@mesh/control-api/gen/mesh/federation/v1/federation_pb';
import { grpcService } from '@mesh/control-api/grpc-server';
import { controlLimits } from '@mesh/dataplane/control-server';
import { createWorkload } from '@mesh/dataplane/workload';
import { mirrorConfig } from '@mesh/mirror/config';
import { federationPort } from '@mesh/mirror/federation-port';
import { startAdmin } from '@mesh/dataplane/admin-server';
import { type PeerIdentity, trustDomain } from '@mesh/trust/names';

const config = readConfig(mirrorConfig, process.env);
const version = 'hostile';
const workload = createWorkload({
  config,
  clock,
  random,
  program: 'mirror',
  version,
  write: (line) => process.stdout.write(line),
});
const { cluster, suffix, credentials, identityClient, registry } = workload;
identityClient.start();

const told = JSON.parse(process.env['HOSTILE_EXPORTS'] ?? '[]') as JsonValue[];
const exports = told.map((each) => fromJson(ExportSchema, each));
const federation = grpcService<typeof Federation, PeerIdentity>(Federation, {
  subscribe(_request, sink) {
    let seq = 0n;
    const send = (event: NonNullable<Parameters<typeof sink.send>[0]['event']>): void => {
      seq++;
      sink.send({ epoch: 1n, seq, event });
    };
    const domain = trustDomain(cluster, suffix);
    send({ case: 'hello', value: { protocol: 1, features: [], cluster, trustDomain: domain } });
    for (const value of exports) send({ case: 'export', value });
    send({ case: 'snapshotEnd', value: { count: exports.length } });
    const beat = clock.every(1000, () => send({ case: 'beat', value: {} }));
    sink.onCancel(() => beat.cancel());
  },
});
const server = federationPort(federation, { config, workload, clock, limits: controlLimits() });
await startAdmin({
  clock,
  port: config.MESH_ADMIN_PORT,
  registry,
  ready: () => ({ ready: credentials.current !== undefined, reason: identityClient.fault }),
});
await server.start();
process.on('SIGTERM', () => process.exit(0));
