/** A pod of the bench: a network namespace behind a veth pair, as a node makes one, and the processes in it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { kill } from 'node:process';
import { runTool, toolPath } from '@mesh/node/run-tool';
import { processTree } from './process-usage.ts';

/** Proxies run as this user, whose connections iptables does not redirect. */
export const proxyUid = 2102;

export interface ProcessOptions {
  /** User of the process; root when undefined. */
  readonly uid?: number;
  readonly environment?: Readonly<Record<string, string>>;
  /** File that its output is added to. */
  readonly log: string;
}

/** Redirection to a proxy in the pod, by the mesh's own init program. */
export interface Interception {
  readonly nodeBinary: string;
  readonly initProgram: string;
}

export class Pod {
  readonly name: string;
  readonly address: string;
  readonly #hostLink: string;
  readonly #holder: ChildProcess;
  readonly #children: ChildProcess[] = [];

  private constructor(name: string, address: string, hostLink: string, holder: ChildProcess) {
    this.name = name;
    this.address = address;
    this.#hostLink = hostLink;
    this.#holder = holder;
  }

  /** @param index 1 to 250; gives the pod's network */
  static async make(name: string, index: number): Promise<Pod> {
    // `cat` holds the namespace for as long as the bench holds the other end of its standard input.
    const holder = spawn('unshare', ['--net', '--', 'sh', '-c', 'echo ready; exec cat'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: toolPath },
    });
    await once(holder.stdout, 'data');
    const host = `pod${index}`;
    const pod = new Pod(name, `10.210.${index}.2`, host, holder);
    const gateway = `10.210.${index}.1`;
    await runTool([
      'ip',
      'link',
      'add',
      host,
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      String(holder.pid),
    ]);
    await runTool(['ip', 'address', 'add', `${gateway}/30`, 'dev', host]);
    await runTool(['ip', 'link', 'set', host, 'up']);
    await pod.run(['ip', 'link', 'set', 'lo', 'up']);
    await pod.run(['ip', 'address', 'add', `${pod.address}/30`, 'dev', 'eth0']);
    await pod.run(['ip', 'link', 'set', 'eth0', 'up']);
    await pod.run(['ip', 'route', 'add', 'default', 'via', gateway]);
    // Thousands of short connections: the default range of client ports is for a whole machine.
    await pod.run([
      'sh',
      '-c',
      'cd /proc/sys/net/ipv4; echo "10000 65000" >ip_local_port_range; echo 1 >tcp_tw_reuse',
    ]);
    return pod;
  }

  /** Runs a system tool in the pod to its end. */
  run(command: readonly string[], input = ''): Promise<string> {
    return runTool(['nsenter', ...this.#enter(), '--', ...command], { input });
  }

  /** Makes all addresses of `network` the pod's. */
  async claim(network: string): Promise<void> {
    await runTool(['ip', 'route', 'add', network, 'via', this.address, 'dev', this.#hostLink]);
    await this.run(['ip', 'route', 'add', 'local', network, 'dev', 'lo']);
  }

  /** Redirects the pod's traffic to the proxy's ports 4140 and 4143, as in a cluster. */
  async intercept({ nodeBinary, initProgram }: Interception): Promise<void> {
    await this.run(['env', `MESH_INIT_PROXY_UID=${proxyUid}`, nodeBinary, initProgram]);
  }

  /** Starts a process that lives until `stop` or the end of the bench; its output goes to a log. */
  start(command: readonly string[], { uid, environment = {}, log }: ProcessOptions): ChildProcess {
    const file = openSync(log, 'a');
    const become =
      uid === undefined ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--'];
    const child = spawn('nsenter', [...this.#enter(), '--', ...become, ...command], {
      stdio: ['ignore', file, file],
      env: { PATH: toolPath, ...environment },
    });
    closeSync(file);
    this.#children.push(child);
    return child;
  }

  /** Starts a program of ours that is spoken to by messages, behind a `prefix` like nice(1). */
  fork(program: string, prefix: readonly string[] = []): ChildProcess {
    const child = spawn('nsenter', [...this.#enter(), '--', ...prefix, process.execPath, program], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { PATH: toolPath },
    });
    this.#children.push(child);
    return child;
  }

  /** Ends its processes; the network goes with the last of them. */
  async close(): Promise<void> {
    for (const { pid, exitCode, signalCode } of this.#children) {
      if (pid === undefined || exitCode !== null || signalCode !== null) continue;
      for (const process of processTree(pid)) kill(process, 'SIGKILL');
    }
    const ended = once(this.#holder, 'exit');
    this.#holder.stdin?.destroy();
    await ended;
    // The kernel may have been faster: a link ends with either of its networks.
    await runTool(['ip', 'link', 'delete', this.#hostLink]).catch(() => {});
  }

  #enter(): string[] {
    return [`--net=/proc/${this.#holder.pid}/ns/net`];
  }
}
