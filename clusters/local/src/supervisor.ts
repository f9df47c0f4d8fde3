import { spawn, type ChildProcess } from 'node:child_process';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { isDeepStrictEqual } from 'node:util';
import { sleep, type Clock } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import { KubeClient } from '@mesh/kube/client';
import { fromKubeconfig } from '@mesh/kube/config';
import { toolPath } from '@mesh/node/run-tool';
import { mergeKubeconfigs } from './merge-kubeconfigs.ts';
import { worldNamespaces } from './prerequisites.ts';
import {
  processStartTime,
  type ApiProvider,
  type ClusterPaths,
  type LocalState,
  type StateDirectory,
} from './state-directory.ts';
import { SupervisedProcess } from './supervised-process.ts';
import type { ClusterPlan, Topology } from './topology.ts';
import type { WorldReport } from './world.ts';
import { nodeAddress, type WorldPlan } from './world-plan.ts';

export interface SupervisorOptions {
  topology: Topology;
  state: StateDirectory;
  bundleDirectory: string;
  logLevel: string;
  uid: number;
  /** Directory of kube-apiserver and etcd; without it the embedded API server runs. */
  binaries: string | undefined;
  clock: Clock;
  /** Progress for people, one line each. */
  say: (line: string) => void;
}

interface Running {
  plan: ClusterPlan;
  index: number;
  paths: ClusterPaths;
  port: number;
  apiserver: SupervisedProcess;
  controllers: SupervisedProcess;
  ready: boolean;
  version: string;
}

const nodePatienceMs = 30_000;
/** kube-apiserver takes a while to set up its storage, more so when several start on few cores. */
const apiPatienceMs = 120_000;
/** Port of the API inside the cluster. kube-apiserver announces the port that it listens on. */
const embeddedNodePort = 6443;
const pollMs = 50;

/** Starts and keeps alive what local clusters consist of: API servers and controllers, and the one world. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #clusters: Running[] = [];
  #world: ChildProcess | undefined;
  #onReady: (() => void)[] = [];
  readonly #control: Server = createServer((socket) => this.#accept(socket));
  /** Who waits for the world to have cut or healed a cluster, by its report. */
  readonly #pending: Map<string, (() => void)[]> = new Map();
  #stopped = false;
  #fail: (error: Error) => void = () => {};
  readonly #failed: Promise<never>;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.#failed.catch(() => {});
  }

  /** Resolves when every node is ready. Rejects when the world ends before. */
  async start(): Promise<void> {
    const { topology, state, clock } = this.#options;
    mkdirSync(state.path, { recursive: true, mode: 0o700 });
    for (const [index, plan] of topology.clusters.entries())
      this.#clusters.push(await this.#prepare(plan, index));
    this.#record();
    rmSync(state.controlSocket, { force: true });
    this.#control.listen(state.controlSocket);
    this.#startWorld();
    const work = Promise.all(
      this.#clusters.map(async (cluster) => {
        cluster.apiserver.start();
        await this.#apiReady(cluster);
        cluster.controllers.start();
        this.#tellWorld(`start ${cluster.plan.name}`);
      }),
    );
    const nodes = new Promise<void>((resolve) => this.#onReady.push(resolve));
    await Promise.race([this.#failed, work]);
    const files = this.#clusters.map(({ paths }) => readFileSync(paths.adminKubeconfig, 'utf8'));
    writeFileSync(state.kubeconfig, mergeKubeconfigs(files), { mode: 0o600 });
    const patience = new AbortController();
    const late = sleep(clock, nodePatienceMs, patience.signal).then(() => {
      throw new MeshError('local-clusters', 'the nodes are not ready after 30 s', {
        remedy: `See the logs in ${state.path}/*/logs/node.log.`,
      });
    });
    late.catch(() => {});
    await Promise.race([this.#failed, nodes, late]);
    patience.abort(new Error('the nodes are ready'));
    this.#record();
  }

  /** Ends everything; resolves when nothing is left. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#control.close();
    const world = this.#world;
    const worldGone =
      world === undefined || world.exitCode !== null || world.signalCode !== null
        ? Promise.resolve()
        : once(world, 'exit').then(() => {});
    world?.stdin?.end();
    await Promise.all([
      worldGone,
      ...this.#clusters.flatMap(({ apiserver, controllers }) => [apiserver.stop(), controllers.stop()]),
    ]);
  }

  async #prepare(plan: ClusterPlan, index: number): Promise<Running> {
    const { state, bundleDirectory, logLevel, clock, say, binaries } = this.#options;
    const paths = state.cluster(plan.name);
    const known: unknown = existsSync(paths.plan) ? JSON.parse(readFileSync(paths.plan, 'utf8')) : undefined;
    const provider = this.#provider;
    const { port: knownPort, ...knownPlan } = { provider: 'embedded', ...(known as { port?: number }) };
    // Another network or another store under the same name is another cluster.
    if (known !== undefined && !isDeepStrictEqual(knownPlan, { ...plan, provider })) {
      rmSync(paths.root, { recursive: true, force: true });
    }
    for (const directory of [paths.api, paths.podLogs, paths.run])
      mkdirSync(directory, { recursive: true, mode: 0o755 });
    // Those of an earlier run may name another port; the API server writes them anew.
    for (const file of credentialFiles(paths)) rmSync(file, { force: true });
    const port = await freePort(knownPort);
    writeFileSync(paths.plan, JSON.stringify({ ...plan, provider, port }));
    const program = (name: string): string[] => [process.execPath, join(bundleDirectory, `${name}.js`)];
    const supervised = (name: string, environment: Record<string, string>): SupervisedProcess =>
      new SupervisedProcess({
        clock,
        command: program(name),
        environment: { PATH: toolPath, MESH_LOG_LEVEL: logLevel, ...environment },
        logFile: join(paths.logs, `${name}.log`),
        onRestart: (detail) => say(`${plan.name}: ${name} ${detail}`),
        onStart: () => this.#record(),
      });
    return {
      plan,
      index,
      paths,
      port,
      ready: false,
      version: '',
      apiserver: supervised('apiserver', {
        MESH_CLUSTER: plan.name,
        MESH_APISERVER_DIR: paths.api,
        MESH_APISERVER_PORT: String(port),
        MESH_APISERVER_SOCKET: paths.apiSocket,
        MESH_APISERVER_NODE_ADDRESS: nodeAddress(index),
        MESH_APISERVER_WEBHOOK_SOCKET: paths.controlSocket,
        ...(binaries === undefined ? {} : { MESH_APISERVER_BINARIES: binaries }),
        MESH_NODE_NAME: `${plan.name}-node`,
        MESH_SERVICE_CIDR: plan.serviceCidr,
      }),
      controllers: supervised('controllers', {
        MESH_KUBECONFIG: paths.controllersKubeconfig,
        MESH_LOADBALANCER_CIDR: plan.gatewayCidr,
      }),
    };
  }

  get #provider(): ApiProvider {
    return this.#options.binaries === undefined ? 'embedded' : 'kube-apiserver';
  }

  #startWorld(): void {
    const { state, bundleDirectory, logLevel, uid, say } = this.#options;
    const plan: WorldPlan = {
      bundleDirectory,
      logLevel,
      clusters: this.#clusters.map(({ plan: { name, podCidr, serviceCidr, gatewayCidr }, paths, port }) => ({
        ...{ name, podCidr, serviceCidr, gatewayCidr },
        apiSocket: paths.apiSocket,
        apiPort: this.#provider === 'embedded' ? embeddedNodePort : port,
        kubeconfig: paths.nodeKubeconfig,
        servingFile: paths.nodeServing,
        controlSocket: paths.controlSocket,
        podLogs: paths.podLogs,
        nodeLog: join(paths.logs, 'node.log'),
        runDirectory: paths.run,
      })),
    };
    writeFileSync(state.worldPlan, `${JSON.stringify(plan, null, 2)}\n`);
    const log = openSync(join(state.path, 'world.log'), 'a', 0o644);
    const world = spawn(
      'setpriv',
      [
        ...['--pdeathsig', 'KILL', '--', 'unshare', ...worldNamespaces(uid), '--'],
        process.execPath,
        join(bundleDirectory, 'world.js'),
      ],
      { stdio: ['pipe', 'pipe', log], env: { PATH: toolPath, MESH_WORLD_PLAN: state.worldPlan } },
    );
    closeSync(log);
    this.#world = world;
    world.stdin?.on('error', () => {});
    if (world.stdout !== null) {
      createInterface({ input: world.stdout }).on('line', (line) =>
        this.#heard(JSON.parse(line) as WorldReport),
      );
    }
    const end = (detail: string): void => {
      if (this.#stopped) return;
      say(`the world ${detail}; see ${join(state.path, 'world.log')}`);
      this.#fail(
        new MeshError('local-clusters', `the world ${detail}`, {
          remedy: `See ${join(state.path, 'world.log')}.`,
        }),
      );
    };
    world.on('error', (error) => end(error.message));
    world.on('exit', (code, signal) => end(`ended with ${signal ?? code}`));
  }

  /** Resolves when the world has ended although nobody asked for it. */
  async whenBroken(): Promise<Error> {
    try {
      return await this.#failed;
    } catch (thrown) {
      return thrown instanceof Error ? thrown : new Error(String(thrown));
    }
  }

  /** One line each connection, `cut CLUSTER` or `heal CLUSTER`, answered when it is done. */
  #accept(socket: Socket): void {
    const lines = createInterface({ input: socket });
    socket.on('error', () => {});
    lines.once('line', (line) => {
      lines.close();
      const [verb = '', name = ''] = line.split(' ');
      const report = { cut: 'cut', heal: 'healed' }[verb];
      if (report === undefined || !this.#clusters.some(({ plan }) => plan.name === name)) {
        const names = this.#clusters.map(({ plan }) => plan.name).join(', ');
        socket.end(`ERR not "cut CLUSTER" or "heal CLUSTER"; clusters: ${names}\n`);
        return;
      }
      const key = `${report} ${name}`;
      this.#pending.set(key, [...(this.#pending.get(key) ?? []), () => socket.end('OK\n')]);
      this.#tellWorld(line);
    });
  }

  #tellWorld(line: string): void {
    this.#world?.stdin?.write(`${line}\n`);
  }

  #heard({ cluster: name, state, detail }: WorldReport): void {
    const { say } = this.#options;
    const cluster = this.#clusters.find(({ plan }) => plan.name === name);
    if (cluster === undefined) return;
    if (state === 'cut' || state === 'healed') {
      say(`${name}: ${state === 'cut' ? 'cut off from the others' : 'connected again'}`);
      const waiting = this.#pending.get(`${state} ${name}`) ?? [];
      for (const resolve of waiting.splice(0)) resolve();
      return;
    }
    if (state === 'down') say(`${name}: ${detail ?? 'the node ended'}`);
    if (state === 'ready') say(`${name}: node ready`);
    cluster.ready = state === 'ready';
    this.#record();
    if (this.#clusters.every(({ ready }) => ready)) {
      for (const resolve of this.#onReady.splice(0)) resolve();
    }
  }

  async #apiReady(cluster: Running): Promise<void> {
    const { paths, plan } = cluster;
    const { clock, say } = this.#options;
    const deadline = clock.now() + apiPatienceMs;
    for (;;) {
      if ([paths.apiSocket, ...credentialFiles(paths)].every((file) => existsSync(file))) {
        const client = new KubeClient({
          ...fromKubeconfig(paths.adminKubeconfig),
          socketPath: paths.apiSocket,
          clock,
        });
        try {
          const { status } = await client.raw('GET', '/readyz', { timeoutMs: 2000 });
          if (status === 200) {
            const { body } = await client.raw('GET', '/version', { timeoutMs: 2000 });
            cluster.version = (JSON.parse(body) as { gitVersion?: string }).gitVersion ?? '';
            say(`${plan.name}: API server ready (${this.#provider} ${cluster.version})`);
            return;
          }
        } catch {
          // not yet
        } finally {
          client.close();
        }
      }
      if (clock.now() > deadline) {
        throw new MeshError('local-clusters', `the API server of ${plan.name} is not ready after 120 s`, {
          remedy: `See ${join(paths.logs, 'apiserver.log')}.`,
        });
      }
      await sleep(clock, pollMs);
    }
  }

  #record(): void {
    if (this.#stopped) return;
    const state: LocalState = {
      phase: this.#clusters.every(({ ready }) => ready) ? 'ready' : 'starting',
      supervisor: { pid: process.pid, startTime: processStartTime(process.pid) ?? '' },
      world: this.#world?.pid,
      clusters: this.#clusters.map(
        ({ plan, index, paths, port, ready, version, apiserver, controllers }) => ({
          ...plan,
          provider: this.#provider,
          version,
          server: `https://127.0.0.1:${port}`,
          kubeconfig: paths.adminKubeconfig,
          nodeAddress: nodeAddress(index),
          controlSocket: paths.controlSocket,
          logDirectory: paths.logs,
          ready,
          apiserver: apiserver.pid,
          controllers: controllers.pid,
        }),
      ),
    };
    this.#options.state.write(state);
  }
}

function credentialFiles(paths: ClusterPaths): string[] {
  return [paths.adminKubeconfig, paths.nodeKubeconfig, paths.controllersKubeconfig, paths.nodeServing];
}

/** `wanted` when it is free, so that kubeconfigs stay good over restarts; any free port of the loopback otherwise. */
async function freePort(wanted: number | undefined): Promise<number> {
  for (const port of wanted === undefined ? [0] : [wanted, 0]) {
    const server = createServer();
    server.listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
      const bound = (server.address() as AddressInfo).port;
      server.close();
      await once(server, 'close');
      return bound;
    } catch {
      // taken by somebody else meanwhile
    }
  }
  throw new MeshError('local-clusters', 'no free port on 127.0.0.1');
}
