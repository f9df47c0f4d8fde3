import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { MeshError } from '@mesh/errors/mesh-error';
import type { ClusterPlan } from './topology.ts';

/** The record of running local clusters, `state.json` in the state directory. */
export interface LocalState {
  readonly phase: 'starting' | 'ready';
  /** The supervisor. `startTime` (clock ticks since boot) tells it from a later process with the same number. */
  readonly supervisor: { readonly pid: number; readonly startTime: string };
  readonly clusters: readonly LocalCluster[];
  readonly world: number | undefined;
}

export type ApiProvider = 'embedded' | 'kube-apiserver';

export interface LocalCluster extends ClusterPlan {
  /** URL of the API server on the host's loopback. */
  readonly server: string;
  readonly kubeconfig: string;
  readonly nodeAddress: string;
  /** Unix socket of the node: see `dialCluster` and `killContainer` of @mesh/node. */
  readonly controlSocket: string;
  readonly logDirectory: string;
  readonly ready: boolean;
  /** What serves the API: `embedded`, or `kube-apiserver` with etcd. */
  readonly provider: ApiProvider;
  /** What its /version said; empty until it has answered. */
  readonly version: string;
  readonly apiserver: number | undefined;
  readonly controllers: number | undefined;
}

/** Where one cluster keeps its things. */
export interface ClusterPaths {
  readonly root: string;
  readonly api: string;
  readonly apiSocket: string;
  readonly adminKubeconfig: string;
  readonly nodeKubeconfig: string;
  /** Certificate and key with which the node answers the API server. */
  readonly nodeServing: string;
  readonly controllersKubeconfig: string;
  readonly controlSocket: string;
  readonly logs: string;
  readonly podLogs: string;
  readonly run: string;
  readonly plan: string;
}

/** sun_path of unix(7). */
const maxSocketPath = 107;

export class StateDirectory {
  readonly path: string;

  constructor(path: string) {
    this.path = resolve(path);
  }

  /** `MESH_LOCAL_DIR`, or `~/.mesh/local`. */
  static default(environment: Readonly<Record<string, string | undefined>> = process.env): StateDirectory {
    return new StateDirectory(environment['MESH_LOCAL_DIR'] ?? join(homedir(), '.mesh', 'local'));
  }

  get stateFile(): string {
    return join(this.path, 'state.json');
  }

  get kubeconfig(): string {
    return join(this.path, 'kubeconfig');
  }

  /** Unix socket of the supervisor: see `cut` and `heal`. */
  get controlSocket(): string {
    return join(this.path, 'ctl.sock');
  }

  get worldPlan(): string {
    return join(this.path, 'world.json');
  }

  /** @throws MeshError local-clusters when the path is too long for a unix socket */
  cluster(name: string): ClusterPaths {
    const root = join(this.path, name);
    const api = join(root, 'api');
    const paths = {
      root,
      api,
      apiSocket: join(root, 'api.sock'),
      adminKubeconfig: join(api, 'admin.kubeconfig'),
      nodeKubeconfig: join(api, 'node.kubeconfig'),
      nodeServing: join(api, 'node-serving.pem'),
      controllersKubeconfig: join(api, 'controllers.kubeconfig'),
      controlSocket: join(root, 'node.sock'),
      logs: join(root, 'logs'),
      podLogs: join(root, 'logs', 'pods'),
      run: join(root, 'run'),
      plan: join(root, 'plan.json'),
    };
    if (Buffer.byteLength(paths.controlSocket) > maxSocketPath) {
      throw new MeshError('local-clusters', `the state directory ${this.path} is too long for unix sockets`, {
        remedy: 'Set MESH_LOCAL_DIR to a shorter path.',
      });
    }
    return paths;
  }

  /** The record, when there is one and its supervisor lives. */
  read(): LocalState | undefined {
    if (!existsSync(this.stateFile)) return undefined;
    const state = JSON.parse(readFileSync(this.stateFile, 'utf8')) as LocalState;
    return processStartTime(state.supervisor.pid) === state.supervisor.startTime ? state : undefined;
  }

  write(state: LocalState): void {
    const fresh = `${this.stateFile}.fresh`;
    writeFileSync(fresh, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
    renameSync(fresh, this.stateFile);
  }

  /** Removes what local clusters made, and nothing else that may lie in the directory. */
  remove(clusterNames: readonly string[]): void {
    for (const name of clusterNames) rmSync(join(this.path, name), { recursive: true, force: true });
    for (const file of [this.stateFile, this.kubeconfig, this.worldPlan, this.controlSocket])
      rmSync(file, { force: true });
  }
}

/** Field 22 of /proc/PID/stat (proc(5)); undefined when there is no such process. */
export function processStartTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command name may hold blanks and parentheses; fields count from behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
