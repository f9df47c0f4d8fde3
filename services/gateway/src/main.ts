import { systemClock as clock, systemRandom as random } from '@mesh/clock/system';
import { readConfig } from '@mesh/config/environment';
import { createWorkload } from '@mesh/dataplane/workload';
import { describeError } from '@mesh/errors/mesh-error';
import { gatewayConfig } from './config.ts';
import { startGateway } from './program.ts';

async function main(): Promise<void> {
  const config = readConfig(gatewayConfig, process.env);
  const workload = createWorkload({
    config,
    clock,
    random,
    program: 'gateway',
    version: '0.1.0',
    write: (line) => process.stdout.write(line),
  });
  workload.identityClient.start();
  const gateway = await startGateway({ config, workload, clock, random });
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    workload.log.info('draining');
    void gateway.stop().then(() => process.exit(0));
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

main().catch((failure: unknown) => {
  process.stderr.write(`gateway: ${describeError(failure)}\n`);
  process.exit(1);
});
