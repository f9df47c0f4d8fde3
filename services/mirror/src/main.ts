import { systemClock as clock, systemRandom as random } from '@mesh/clock/system';
import { readConfig } from '@mesh/config/environment';
import { createWorkload } from '@mesh/dataplane/workload';
import { describeError } from '@mesh/errors/mesh-error';
import { KubeClient } from '@mesh/kube/client';
import { inCluster } from '@mesh/kube/config';
import { mirrorConfig } from './config.ts';
import { type RunningMirror, startMirror } from './program.ts';

async function main(): Promise<void> {
  const config = readConfig(mirrorConfig, process.env);
  const workload = createWorkload({
    config,
    clock,
    random,
    program: 'mirror',
    version: '0.1.0',
    write: (line) => process.stdout.write(line),
  });
  workload.identityClient.start();
  const client = new KubeClient({ ...inCluster(), clock });
  let running: RunningMirror | undefined;
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    // Before it has started there is nothing to end in order.
    const ended = running === undefined ? Promise.resolve() : running.stop();
    void ended.then(() => process.exit(0));
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  running = await startMirror({ config, workload, client, clock, random });
}

main().catch((failure: unknown) => {
  process.stderr.write(`mirror: ${describeError(failure)}\n`);
  process.exit(1);
});
