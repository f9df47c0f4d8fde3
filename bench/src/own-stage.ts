/** Pods with the application and our proxies between its clients and it, for runs that have no contestants. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, sleep } from '@mesh/clock/clock';
import { appPorts, proxyPorts, type Scene, type Stage } from './contestants/contestant.ts';
import { Pod } from './pod.ts';
import { makeTrust } from './trust-material.ts';

interface OwnStageOptions {
  readonly clock: Clock;
  /** Of the repository. */
  readonly root: string;
  /** Existing, readable by everybody; gets certificates, configurations and logs. */
  readonly directory: string;
  readonly scene: Scene;
  /** Program of the application, in the server's pod. */
  readonly app: string;
  /** Address of the service; empty where there are several. */
  readonly clusterIp?: string;
  /** Of our sidecars, beside the usual. */
  readonly settings?: Readonly<Record<string, string>>;
}

const readyWithinMs = 20_000;

export async function makeOwnStage(options: OwnStageOptions): Promise<Stage> {
  const { clock, root, directory, scene, app, clusterIp = '', settings = {} } = options;
  const client = await Pod.make('client', 1);
  const server = await Pod.make('server', 2);
  const middle = scene.gateway ? await Pod.make('gateway', 3) : undefined;
  const rules = { nodeBinary: process.execPath, initProgram: join(root, 'dist/proxy-init.js') };
  await client.intercept(rules);
  if (scene.mtls) await server.intercept(rules);
  const own = join(directory, 'stage');
  mkdirSync(own, { mode: 0o755 });
  server.start([process.execPath, app], { log: join(own, 'app.log') });
  const [appPort] = appPorts[scene.traffic];
  return {
    scene,
    client,
    server,
    middle,
    clusterIp,
    endpoints: [{ host: server.address, port: appPort }],
    appPort,
    trust: makeTrust(directory, clock),
    directory: own,
    root,
    settings,
  };
}

/** Ends all that runs in its pods. */
export async function closeStage({ client, server, middle }: Stage): Promise<void> {
  for (const pod of [client, server, middle]) await pod?.close();
}

/** @throws Error when it is not ready in time */
export async function isReady(clock: Clock, name: string, address: string): Promise<void> {
  const deadline = clock.now() + readyWithinMs;
  while (clock.now() < deadline) {
    const ready = await fetch(`http://${address}:${proxyPorts.admin}/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (ready) return;
    await sleep(clock, 50);
  }
  throw new Error(`the ${name} proxy is not ready after ${readyWithinMs} ms`);
}
