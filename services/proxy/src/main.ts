/** The sidecar. */
import { systemClock, systemRandom } from '@mesh/clock/system';
import { readConfig } from '@mesh/config/environment';
import { describeError } from '@mesh/errors/mesh-error';
import { createLogger } from '@mesh/telemetry/log';
import { releaseFilePagesOfStart } from '@mesh/transport/file-pages';
import { releaseFreeMemoryRegularly } from '@mesh/transport/free-memory';
import { originalDestination } from '@mesh/transport/original-destination';
import { proxyConfig } from './config.ts';
import { Proxy } from './proxy.ts';

try {
  const config = readConfig(proxyConfig, process.env);
  const log = createLogger({
    clock: systemClock,
    level: config.MESH_LOG_LEVEL,
    write: (line) => process.stdout.write(line),
  });
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    log.info('draining');
    void proxy.stop().then(() => {
      log.info('stopped');
      process.exit(0);
    });
  };
  const proxy = new Proxy({
    config,
    clock: systemClock,
    random: systemRandom,
    log,
    originalDestination,
    onShutdown: stop,
  });
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  releaseFreeMemoryRegularly(systemClock);
  releaseFilePagesOfStart(systemClock);
  const ports = await proxy.start();
  log.info('listening', { ...ports });
} catch (thrown) {
  process.stderr.write(`${describeError(thrown)}\n`);
  // Half a sidecar, with some of its ports open, would take the pod's connections and serve none.
  process.exit(1);
}
