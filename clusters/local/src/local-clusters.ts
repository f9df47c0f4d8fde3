/** Local clusters as the command line and tests use them: up, down, status, kubeconfig, logs. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { sleep, type Clock } from '@mesh/clock/clock';
import { systemClock } from '@mesh/clock/system';
import { assetsVariable, findBinaries } from '@mesh/apiserver/kubernetes/binaries';
import { MeshError } from '@mesh/errors/mesh-error';
import { askControl } from '@mesh/node/control-client';
import { toolPath } from '@mesh/node/run-tool';
import { bundleDirectory } from './bundle-directory.ts';
import { checkPrerequisites } from './prerequisites.ts';
import { processStartTime, StateDirectory, type LocalCluster, type LocalState } from './state-directory.ts';
import { parseTopology } from './topology.ts';

export interface UpOptions {
  /** A topology file, or the name of one in clusters/topologies. */
  topology: string;
  /** Default: MESH_LOCAL_DIR or ~/.mesh/local. */
  stateDir?: string | undefined;
  /** End the clusters with this process, however it ends. Otherwise they stay until `down`. */
  attached?: boolean;
  /** Keep journals and logs at the end. */
  keepData?: boolean;
  /** A directory of the caller that goes with the data, also when the caller is killed. */
  removeAlso?: string;
  logLevel?: string;
  onProgress?: (line: string) => void;
}

export interface LocalClusters {
  readonly clusters: readonly LocalCluster[];
  /** One file with a context per cluster, named as the clusters are. */
  readonly kubeconfig: string;
  readonly stateDir: string;
  /** Process number of the supervisor. */
  readonly supervisor: number;
  /** Ends the clusters and waits until nothing is left. */
  down(): Promise<void>;
}

/**
 * Starts the clusters of a topology and resolves when their nodes are ready.
 * With KUBEBUILDER_ASSETS in the environment their API is served by the kube-apiserver and etcd in that directory.
 * @throws MeshError packages-missing, namespaces-forbidden, assets-missing, topology-invalid or local-clusters
 */
export async function up(options: UpOptions): Promise<LocalClusters> {
  const {
    onProgress = () => {},
    attached = false,
    keepData = false,
    removeAlso = '',
    logLevel = 'info',
  } = options;
  checkPrerequisites();
  const binaries = process.env[assetsVariable] ?? '';
  if (binaries !== '') findBinaries(binaries);
  const bundles = bundleDirectory();
  const topologyFile = findTopology(options.topology, bundles);
  parseTopology(readFileSync(topologyFile, 'utf8'), topologyFile);
  const state = directoryOf(options.stateDir);
  if (state.read() !== undefined) {
    throw new MeshError('local-clusters', `local clusters already run in ${state.path}`, {
      remedy: 'mesh local down, or set MESH_LOCAL_DIR to another directory.',
    });
  }
  mkdirSync(state.path, { recursive: true, mode: 0o700 });
  const log = openSync(join(state.path, 'supervisor.log'), 'a', 0o644);
  const child = spawn(process.execPath, [join(bundles, 'supervisor.js')], {
    stdio: [attached ? 'pipe' : 'ignore', 'pipe', log],
    detached: true,
    cwd: '/',
    env: {
      PATH: toolPath,
      HOME: process.env['HOME'] ?? '/',
      MESH_LOCAL_DIR: state.path,
      MESH_LOCAL_BINARIES: binaries,
      MESH_LOCAL_TOPOLOGY: topologyFile,
      MESH_LOCAL_ATTACHED: String(attached),
      MESH_LOCAL_REMOVE: String(!keepData),
      MESH_LOCAL_REMOVE_ALSO: removeAlso,
      MESH_LOG_LEVEL: logLevel,
    },
  });
  closeSync(log);
  await untilReady(child, { onProgress, log: join(state.path, 'supervisor.log') });
  // Attached, the pipe stays open: its end tells the supervisor that we are gone.
  child.stdout?.destroy();
  if (child.stdin instanceof Socket) child.stdin.unref();
  child.unref();
  const running = state.read();
  if (running === undefined) throw new MeshError('local-clusters', 'the supervisor ended at once');
  return {
    clusters: running.clusters,
    kubeconfig: state.kubeconfig,
    stateDir: state.path,
    supervisor: running.supervisor.pid,
    down: () => down({ stateDir: state.path, keepData }),
  };
}

interface Selection {
  stateDir?: string | undefined;
  clock?: Clock;
}

/** Ends the clusters and removes their data; does nothing when none run. */
export async function down({
  stateDir,
  keepData = false,
  clock = systemClock,
}: Selection & { keepData?: boolean } = {}): Promise<void> {
  const state = directoryOf(stateDir);
  const running = state.read();
  if (running !== undefined) {
    const { pid, startTime } = running.supervisor;
    process.kill(pid, 'SIGTERM');
    const deadline = clock.now() + downPatienceMs;
    while (processStartTime(pid) === startTime) {
      // Everything else dies with the supervisor, by the kernel's hand.
      if (clock.now() > deadline) process.kill(pid, 'SIGKILL');
      await sleep(clock, 50);
    }
  }
  if (!keepData && existsSync(state.stateFile)) {
    const { clusters } = JSON.parse(readFileSync(state.stateFile, 'utf8')) as LocalState;
    state.remove(clusters.map(({ name }) => name));
  }
}

const downPatienceMs = 20_000;

/** The running clusters; undefined when there are none. */
export function status({ stateDir }: Selection = {}): LocalState | undefined {
  return directoryOf(stateDir).read();
}

/**
 * Path of the kubeconfig with a context per cluster.
 * @throws MeshError local-clusters when no clusters run
 */
export function kubeconfig({ stateDir }: Selection = {}): string {
  const state = directoryOf(stateDir);
  if (state.read() === undefined) throw notRunning(state);
  return state.kubeconfig;
}

/**
 * Log files of the running clusters: of one cluster's programs, and of its pods (`NAMESPACE/POD/CONTAINER.log`).
 * @throws MeshError local-clusters when no clusters run or none has the name
 */
export function logs({ stateDir, cluster }: Selection & { cluster?: string }): string[] {
  const state = directoryOf(stateDir);
  const running = state.read();
  if (running === undefined) throw notRunning(state);
  const chosen = running.clusters.filter(({ name }) => cluster === undefined || name === cluster);
  if (chosen.length === 0) throw noSuchCluster(cluster, running);
  return chosen.flatMap(({ logDirectory }) =>
    readdirSync(logDirectory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.log'))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort(),
  );
}

/**
 * Cuts a cluster off from all others, as if its cable was pulled: packets are dropped, and nobody is told.
 * @throws MeshError local-clusters when no clusters run or none has the name
 */
export async function cut(selection: Selection & { cluster: string }): Promise<void> {
  await tellSupervisor('cut', selection);
}

/** Undoes `cut`. @throws MeshError as `cut` */
export async function heal(selection: Selection & { cluster: string }): Promise<void> {
  await tellSupervisor('heal', selection);
}

async function tellSupervisor(
  verb: 'cut' | 'heal',
  { stateDir, cluster }: Selection & { cluster: string },
): Promise<void> {
  const state = directoryOf(stateDir);
  const running = state.read();
  if (running === undefined) throw notRunning(state);
  if (!running.clusters.some(({ name }) => name === cluster)) throw noSuchCluster(cluster, running);
  (await askControl(state.controlSocket, `${verb} ${cluster}`)).destroy();
}

function noSuchCluster(cluster: string | undefined, { clusters }: LocalState): MeshError {
  return new MeshError('local-clusters', `no local cluster is named ${cluster}`, {
    remedy: `Clusters: ${clusters.map(({ name }) => name).join(', ')}.`,
  });
}

function notRunning(state: StateDirectory): MeshError {
  return new MeshError('local-clusters', `no local clusters run in ${state.path}`, {
    remedy: 'mesh local up',
  });
}

function directoryOf(path: string | undefined): StateDirectory {
  return path === undefined ? StateDirectory.default() : new StateDirectory(path);
}

function findTopology(name: string, bundles: string): string {
  const candidates = [resolve(name), join(bundles, '..', 'clusters', 'topologies', `${name}.yaml`)];
  const found = candidates.find((candidate) => existsSync(candidate));
  if (found !== undefined) return found;
  throw new MeshError('topology-invalid', `no topology ${name}: looked for ${candidates.join(' and ')}`);
}

async function untilReady(
  child: ChildProcess,
  { onProgress, log }: { onProgress: (line: string) => void; log: string },
): Promise<void> {
  if (child.stdout === null) throw new MeshError('local-clusters', 'the supervisor has no standard output');
  const exited = once(child, 'exit').then(([code, signal]: unknown[]) => {
    throw new MeshError('local-clusters', `the supervisor ended with ${String(signal ?? code)}`, {
      remedy: `See ${log}.`,
    });
  });
  exited.catch(() => {});
  const lines = createInterface({ input: child.stdout });
  const ready = new Promise<void>((resolvePromise, reject) => {
    lines.on('line', (line) => {
      const words = JSON.parse(line) as { say?: string; ready?: boolean; failed?: string };
      if (words.say !== undefined) onProgress(words.say);
      if (words.ready === true) resolvePromise();
      if (words.failed !== undefined)
        reject(new MeshError('local-clusters', words.failed, { remedy: `See ${log}.` }));
    });
  });
  await Promise.race([ready, exited]);
  lines.removeAllListeners('line');
  lines.close();
}
