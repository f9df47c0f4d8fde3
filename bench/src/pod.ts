/** A pod of the bench: a network namespace behind a veth pair, as a node makes one, and the processes in it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { runTool, toolPath } from '@mesh/node/run-tool';

/** Proxies run as this user, whose connections iptables does not redirect. */
export const proxyUid = 2102;

export interface ProcessOptions {
  /** User of the process; root when undefined. */
  readonly uid?: number;
  readonly environment?: Readonly<Record<string, string>>;
  /** Name of its log in the bench's directory. */
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
  readonly #directory: string;
  readonly #holder: ChildProcess;

  private constructor(name: string, address: string, directory: string, holder: ChildProcess) {
    this.name = name;
    this.address = address;
    this.#directory = directory;
    this.#holder = holder;
  }

  /** @param index 1 to 250; gives the pod's network */
  static async make(name: string, index: number, directory: string): Promise<Pod> {
    // `cat` holds the namespace for as long as the bench holds the other end of its standard input.
    const holder = spawn('unshare', ['--net', '--', 'sh', '-c', 'echo ready; exec cat'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: toolPath },
    });
    await once(holder.stdout, 'data');
    const pod = new Pod(name, `10.210.${index}.2`, directory, holder);
    const host = `pod${index}`;
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
    await pod.run(['sh', '-c', 'echo "10000 65000" > /proc/sys/net/ipv4/ip_local_port_range']);
    return pod;
  }

  /** Runs a system tool in the pod to its end. */
  run(command: readonly string[], input = ''): Promise<string> {
    return runTool(['nsenter', ...this.#enter(), '--', ...command], { input });
  }

  /** Redirects the pod's traffic to the proxy's ports 4140 and 4143, as in a cluster. */
  async intercept({ nodeBinary, initProgram }: Interception): Promise<void> {
    await this.run(['env', `MESH_INIT_PROXY_UID=${proxyUid}`, nodeBinary, initProgram]);
  }

  /** Starts a process that lives until `stop` or the end of the bench; its output goes to a log. */
  start(command: readonly string[], { uid, environment = {}, log }: ProcessOptions): ChildProcess {
    const file = openSync(join(this.#directory, `${log}.log`), 'a');
    const become =
      uid === undefined ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--'];
    const child = spawn('nsenter', [...this.#enter(), '--', ...become, ...command], {
      stdio: ['ignore', file, file],
      env: { PATH: toolPath, ...environment },
      cwd: this.#directory,
    });
    closeSync(file);
    return child;
  }

  close(): void {
    this.#holder.stdin?.destroy();
  }

  #enter(): string[] {
    return [`--net=/proc/${this.#holder.pid}/ns/net`];
  }
}
