import { systemClock, systemRandom } from '@mesh/clock/system';
import { readConfig } from '@mesh/config/environment';
import { describeError } from '@mesh/errors/mesh-error';
import { parseCidr } from '@mesh/kube/cidr';
import { KubeClient } from '@mesh/kube/client';
import { fromKubeconfig } from '@mesh/kube/config';
import { createLogger } from '@mesh/telemetry/log';
import { controllersConfig } from './config.ts';
import { ControllerManager } from './manager.ts';

try {
  const config = readConfig(controllersConfig, process.env);
  const log = createLogger({
    clock: systemClock,
    level: config.MESH_LOG_LEVEL,
    write: (line) => process.stderr.write(line),
    fields: { program: 'controllers' },
  });
  const kube = fromKubeconfig(config.MESH_KUBECONFIG);
  const client = new KubeClient({ ...kube, clock: systemClock });
  const manager = new ControllerManager({
    client,
    log,
    clock: systemClock,
    random: systemRandom,
    clusterCa: kube.ca,
    loadBalancerPool: parseCidr(config.MESH_LOADBALANCER_CIDR),
    nodeGraceMs: config.MESH_NODE_GRACE,
  });
  // watches and timers do not keep the process alive while the API server is away
  const alive = systemClock.every(3_600_000, () => {});
  const stop = (): void => {
    log.info('stopping');
    alive.cancel();
    void manager.stop().then(() => client.close());
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  manager.start();
  log.info('started', { server: client.server });
} catch (thrown) {
  process.stderr.write(`${describeError(thrown)}\n`);
  process.exitCode = 1;
}
