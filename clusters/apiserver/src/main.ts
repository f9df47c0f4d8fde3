import { systemClock, systemRandom } from '@mesh/clock/system';
import { readConfig, type Config } from '@mesh/config/environment';
import { describeError } from '@mesh/errors/mesh-error';
import { createLogger } from '@mesh/telemetry/log';
import { apiserverConfig } from './config.ts';
import { findBinaries } from './kubernetes/binaries.ts';
import { startKubernetes, type KubernetesOptions } from './kubernetes/kubernetes-server.ts';
import { startApiserver } from './server.ts';

async function start(
  shared: Omit<KubernetesOptions, 'binaries'>,
  config: Config<typeof apiserverConfig>,
): Promise<{ url: string; close(): Promise<void> }> {
  if (config.MESH_APISERVER_BINARIES === '') {
    return await startApiserver({
      ...shared,
      random: systemRandom,
    });
  }
  const binaries = findBinaries(config.MESH_APISERVER_BINARIES);
  const server = await startKubernetes({ ...shared, binaries });
  // Whoever started us starts both anew.
  void server.broken.then((how) => {
    shared.log.error(how);
    void server.close().finally(() => process.exit(1));
  });
  return server;
}

async function main(): Promise<void> {
  const config = readConfig(apiserverConfig, process.env);
  const log = createLogger({
    clock: systemClock,
    level: config.MESH_LOG_LEVEL,
    write: (line) => process.stderr.write(line),
    fields: { cluster: config.MESH_CLUSTER },
  });
  const optional = <Key extends string>(key: Key, value: string): Partial<Record<Key, string>> =>
    value === '' ? {} : ({ [key]: value } as Record<Key, string>);
  const shared = {
    cluster: config.MESH_CLUSTER,
    directory: config.MESH_APISERVER_DIR,
    address: config.MESH_APISERVER_ADDRESS,
    port: config.MESH_APISERVER_PORT,
    nodeName: config.MESH_NODE_NAME,
    serviceCidr: config.MESH_SERVICE_CIDR,
    ...optional('socketPath', config.MESH_APISERVER_SOCKET),
    ...optional('webhookRelayPath', config.MESH_APISERVER_WEBHOOK_SOCKET),
    ...(config.MESH_APISERVER_NODE_ADDRESS === ''
      ? {}
      : {
          podEndpoint: {
            address: config.MESH_APISERVER_NODE_ADDRESS,
            port: config.MESH_APISERVER_NODE_PORT,
          },
        }),
    clock: systemClock,
    log,
  };
  const server = await start(shared, config);
  log.info('serving', { url: server.url });
  const stop = (): void => {
    server.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

main().catch((thrown: unknown) => {
  process.stderr.write(`${describeError(thrown)}\n`);
  process.exit(1);
});
