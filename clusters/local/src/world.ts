import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Clock } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import { setSysctl } from '@mesh/node/node-network';
import { runTool, toolPath } from '@mesh/node/run-tool';
import { fabricCommands, fabricRules, uplinkCommands, uplinkName } from './fabric.ts';
import { fabricAddress, nodeAddress, type WorldCluster, type WorldPlan } from './world-plan.ts';

/** What the world reports, one JSON object per line. */
export interface WorldReport {
  readonly cluster: string;
  /**
   * `network`: the cluster's network stands; `ready`: its node runs pods; `down`: its node ended; `cut` and `healed`: it is
   * cut off from the others, and is no longer.
   */
  readonly state: 'network' | 'ready' | 'down' | 'cut' | 'healed';
  readonly detail?: string;
}

const restartMs = 1000;

/** Process 1 of the namespaces: the fabric, and one node per cluster in a network namespace of its own. */
export class World {
  readonly #plan: WorldPlan;
  readonly #clock: Clock;
  readonly #report: (report: WorldReport) => void;
  readonly #cut: Set<number> = new Set();

  constructor(plan: WorldPlan, clock: Clock, report: (report: WorldReport) => void) {
    this.#plan = plan;
    this.#clock = clock;
    this.#report = report;
  }

  async createFabric(): Promise<void> {
    setSysctl('net/ipv4/ip_forward', '1');
    setSysctl('net/ipv4/conf/all/rp_filter', '0');
    setSysctl('net/ipv4/conf/default/rp_filter', '0');
    setSysctl('net/ipv4/conf/all/send_redirects', '0');
    setSysctl('net/ipv4/conf/default/send_redirects', '0');
    await runTool(['ip', '-batch', '-'], { input: fabricCommands() });
    await this.#writeRules();
  }

  /** Starts the node of a cluster and starts it again whenever it ends. */
  startNode(name: string): void {
    this.#spawnNode(this.#index(name));
  }

  /** Drops everything between this cluster and the others until `heal`. */
  async cut(name: string): Promise<void> {
    this.#cut.add(this.#index(name));
    await this.#writeRules();
    this.#report({ cluster: name, state: 'cut' });
  }

  async heal(name: string): Promise<void> {
    this.#cut.delete(this.#index(name));
    await this.#writeRules();
    this.#report({ cluster: name, state: 'healed' });
  }

  #index(name: string): number {
    const index = this.#plan.clusters.findIndex((cluster) => cluster.name === name);
    if (index === -1) throw new MeshError('local-clusters', `no cluster is named ${name}`);
    return index;
  }

  async #writeRules(): Promise<void> {
    const clusters = this.#plan.clusters.map(({ gatewayCidr }, index) => ({ index, gatewayCidr }));
    await runTool(['iptables-restore'], { input: fabricRules(clusters, this.#cut) });
  }

  #spawnNode(index: number): void {
    const cluster = this.#plan.clusters[index];
    if (cluster === undefined) return;
    const log = openSync(cluster.nodeLog, 'a', 0o644);
    const node = spawn(
      'unshare',
      [
        ...['--net', '--mount', '--uts', '--ipc', '--pid', '--fork', '--kill-child', '--mount-proc', '--'],
        process.execPath,
        join(this.#plan.bundleDirectory, 'node.js'),
      ],
      { stdio: ['pipe', 'pipe', log], env: this.#environment(cluster, index) },
    );
    closeSync(log);
    node.stdin?.on('error', () => {});
    const { stdout } = node;
    if (stdout !== null) {
      createInterface({ input: stdout }).on('line', (line) => this.#heard(line, { index, cluster, node }));
    }
    let ended = false;
    const end = (detail: string): void => {
      if (ended) return;
      ended = true;
      this.#report({ cluster: cluster.name, state: 'down', detail });
      this.#clock.after(restartMs, () => this.#spawnNode(index));
    };
    node.on('error', (error) => end(error.message));
    node.on('exit', (code, signal) => end(`the node ended with ${signal ?? code}; see ${cluster.nodeLog}`));
  }

  #heard(
    line: string,
    { index, cluster, node }: { index: number; cluster: WorldCluster; node: ChildProcess },
  ): void {
    if (line === 'network' || line === 'ready') this.#report({ cluster: cluster.name, state: line });
    if (line !== 'namespaces' || node.pid === undefined) return;
    this.#connect(index, cluster, node.pid).then(
      () => node.stdin?.write('linked\n'),
      (error: unknown) => {
        this.#report({ cluster: cluster.name, state: 'down', detail: String(error) });
        node.kill('SIGKILL');
      },
    );
  }

  async #connect(index: number, cluster: WorldCluster, pid: number): Promise<void> {
    // The kernel removes a dead node's link in its own time.
    await runTool(['ip', 'link', 'delete', uplinkName(index)]).catch(() => {});
    const { gatewayCidr } = cluster;
    await runTool(['ip', '-batch', '-'], { input: uplinkCommands({ index, gatewayCidr }, pid) });
  }

  #environment(cluster: WorldCluster, index: number): NodeJS.ProcessEnv {
    const { bundleDirectory, logLevel } = this.#plan;
    return {
      PATH: toolPath,
      MESH_NODE_NAME: `${cluster.name}-node`,
      MESH_NODE_ADDRESS: nodeAddress(index),
      MESH_NODE_GATEWAY: fabricAddress,
      MESH_NODE_POD_CIDR: cluster.podCidr,
      MESH_NODE_SERVICE_CIDR: cluster.serviceCidr,
      MESH_NODE_GATEWAY_CIDR: cluster.gatewayCidr,
      MESH_NODE_API_SOCKET: cluster.apiSocket,
      MESH_NODE_API_PORT: String(cluster.apiPort),
      MESH_NODE_KUBECONFIG: cluster.kubeconfig,
      MESH_NODE_SERVING_FILE: cluster.servingFile,
      MESH_NODE_CONTROL_SOCKET: cluster.controlSocket,
      MESH_NODE_LOG_DIR: cluster.podLogs,
      MESH_NODE_RUN_DIR: cluster.runDirectory,
      MESH_NODE_BUNDLE_DIR: bundleDirectory,
      MESH_LOG_LEVEL: logLevel,
    };
  }
}
