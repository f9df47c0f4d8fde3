import cluster from 'node:cluster';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { systemClock as clock, systemRandom as random } from '@mesh/clock/system';
import { readConfig } from '@mesh/config/environment';
import { createWorkload } from '@mesh/dataplane/workload';
import { describeError } from '@mesh/errors/mesh-error';
import { releaseFilePagesOfStart } from '@mesh/transport/file-pages';
import { releaseFreeMemoryRegularly } from '@mesh/transport/free-memory';
import { gatewayConfig } from './config.ts';
import { cpuLimit } from './cpu-limit.ts';
import { startGateway } from './program.ts';
import { startWorker } from './worker.ts';
import { workersVariable, workerVariable } from './worker-messages.ts';

const write = (line: string): void => {
  process.stdout.write(line);
};

async function main(): Promise<void> {
  const config = readConfig(gatewayConfig, process.env);
  const workload = createWorkload({ config, clock, random, program: 'gateway', version: '0.1.0', write });
  workload.identityClient.start();
  const workers =
    config.MESH_WORKERS === 0 ? cpuLimit(readText, availableParallelism()) : config.MESH_WORKERS;
  let stopping = false;
  // As the first process of a container it would never hear of a signal that it has no handler for.
  const onStoppable = (stopGateway: () => Promise<void>): void => {
    const stop = (): void => {
      if (stopping) return;
      stopping = true;
      workload.log.info('draining');
      void stopGateway().then(() => process.exit(0));
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  };
  await startGateway({ config, workload, clock, random, workers, onStoppable });
}

async function work(): Promise<void> {
  // A terminal sends its signals to all processes; when to stop is the primary's to say.
  process.on('SIGTERM', () => {});
  process.on('SIGINT', () => {});
  await startWorker({
    config: readConfig(gatewayConfig, process.env),
    clock,
    random,
    worker: Number(process.env[workerVariable]),
    workers: Number(process.env[workersVariable]),
    write,
    send: (message, sent) => process.send?.(message, () => sent?.()),
    onMessage: (receive) => process.on('message', receive),
    onStopped: () => process.exit(0),
  });
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

releaseFreeMemoryRegularly(clock);
releaseFilePagesOfStart(clock);
(cluster.isPrimary ? main() : work()).catch((failure: unknown) => {
  process.stderr.write(`gateway: ${describeError(failure)}\n`);
  process.exit(1);
});
