import { systemClock, systemRandom } from '@mesh/clock/system';
import { readConfig } from '@mesh/config/environment';
import { describeError } from '@mesh/errors/mesh-error';
import { createLogger } from '@mesh/telemetry/log';
import { apiserverConfig } from './config.ts';
import { startApiserver } from './server.ts';

async function main(): Promise<void> {
  const config = readConfig(apiserverConfig, process.env);
  const log = createLogger({
    clock: systemClock,
    level: config.MESH_LOG_LEVEL,
    write: (line) => process.stderr.write(line),
    fields: { cluster: config.MESH_CLUSTER },
  });
  const server = await startApiserver({
    cluster: config.MESH_CLUSTER,
    directory: config.MESH_APISERVER_DIR,
    address: config.MESH_APISERVER_ADDRESS,
    port: config.MESH_APISERVER_PORT,
    nodeName: config.MESH_NODE_NAME,
    serviceCidr: config.MESH_SERVICE_CIDR,
    loadBalancerCidr: config.MESH_LOADBALANCER_CIDR,
    ...(config.MESH_APISERVER_SOCKET === '' ? {} : { socketPath: config.MESH_APISERVER_SOCKET }),
    ...(config.MESH_APISERVER_WEBHOOK_SOCKET === ''
      ? {}
      : { webhookRelayPath: config.MESH_APISERVER_WEBHOOK_SOCKET }),
    ...(config.MESH_APISERVER_LOG_DIR === '' ? {} : { logDirectory: config.MESH_APISERVER_LOG_DIR }),
    ...(config.MESH_APISERVER_NODE_ADDRESS === ''
      ? {}
      : {
          podEndpoint: {
            address: config.MESH_APISERVER_NODE_ADDRESS,
            port: config.MESH_APISERVER_NODE_PORT,
          },
        }),
    clock: systemClock,
    random: systemRandom,
    log,
  });
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
