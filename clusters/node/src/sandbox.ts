/**
 * The namespaces of one pod: network, PID, UTS and IPC, held open by a shell that is process 1 of the pod and reaps
 * whatever the containers leave behind. Killing it ends every process of the pod.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { MeshError } from '@mesh/errors/mesh-error';
import { parseIp } from '@mesh/kube/cidr';
import { onlyChild } from './only-child.ts';
import { runTool, toolPath } from './run-tool.ts';

export interface SandboxOptions {
  hostname: string;
  /** Address of the pod; also names its link on the node. */
  address: string;
  /** Address of the node, source of what the node itself sends to the pod. */
  nodeAddress: string;
}

export interface Sandbox {
  readonly address: string;
  /** Arguments of nsenter that join the pod; a `--` must follow. */
  readonly enter: readonly string[];
  /** Settles when the pod's first process has ended, for whatever reason. */
  readonly ended: Promise<void>;
  /** Ends every process of the pod and removes its link. */
  destroy(): Promise<void>;
}

/** The pod's next hop: the node's end of the link, under an address that exists on no interface. */
const nextHop = '169.254.1.1';

function hardwareAddress(address: string, side: 'node' | 'pod'): string {
  const octets = address.split('.').map((octet) => Number(octet).toString(16).padStart(2, '0'));
  return `${side === 'node' ? '0a' : '0e'}:00:${octets.join(':')}`;
}

/** Name of the node's end of the link (at most 15 characters). */
function linkName(address: string): string {
  return `pod${(parseIp(address) ?? 0).toString(16).padStart(8, '0')}`;
}

/** Node side of the link, for `ip -batch`. */
function nodeLinkCommands({ address, nodeAddress, pid }: SandboxOptions & { pid: number }): string {
  const link = linkName(address);
  const pod = hardwareAddress(address, 'pod');
  return [
    `link add ${link} address ${hardwareAddress(address, 'node')} type veth peer name eth0 address ${pod} netns ${pid}`,
    `link set ${link} addrgenmode none up`,
    `route add ${address}/32 dev ${link} src ${nodeAddress}`,
    `neigh replace ${address} lladdr ${pod} dev ${link} nud permanent`,
    '',
  ].join('\n');
}

/** Pod side of the link, for `ip -batch`. Neighbours are fixed: no packet ever waits for ARP. */
function podLinkCommands(address: string): string {
  return [
    'link set lo up',
    `addr add ${address}/32 dev eth0`,
    'link set eth0 addrgenmode none up',
    `neigh replace ${nextHop} lladdr ${hardwareAddress(address, 'node')} dev eth0 nud permanent`,
    `route add default via ${nextHop} dev eth0 onlink src ${address}`,
    '',
  ].join('\n');
}

/**
 * The pod's process 1. It configures the network once the node has moved the link in, then only reaps. The wait
 * builtin collects every child, also the adopted ones.
 */
const firstProcess = `set -e
echo joined
read -r go
hostname "$2"
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
printf %s "$1" | ip -batch -
echo configured
exec >/dev/null 2>&1 </dev/null
set +e
while :; do sleep 2147483 & wait $!; done
`;

export async function createSandbox(options: SandboxOptions): Promise<Sandbox> {
  const child = spawn(
    'unshare',
    [
      ...[
        '--net',
        '--pid',
        '--uts',
        '--ipc',
        '--fork',
        '--kill-child',
        '--',
        '/bin/sh',
        '-c',
        firstProcess,
        'pause',
      ],
      podLinkCommands(options.address),
      options.hostname,
    ],
    { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: toolPath, LC_ALL: 'C' } },
  );
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => {
    words = (words + chunk.toString('utf8')).slice(-2000);
  });
  child.stdin.on('error', () => {});
  const ended = once(child, 'close').then(
    () => {},
    () => {},
  );
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const expectLine = async (line: string): Promise<void> => {
    const next = await lines.next();
    if (next.done === true || next.value !== line) {
      throw new MeshError(
        'pod-sandbox',
        `the namespaces of pod ${options.hostname} cannot be set up: ${words.trim()}`,
      );
    }
  };
  try {
    await expectLine('joined');
    const pid = pidOf(child);
    await runTool(['ip', '-batch', '-'], { input: nodeLinkCommands({ ...options, pid }) });
    child.stdin.end('go\n');
    await expectLine('configured');
    const namespaces = `/proc/${pid}/ns`;
    return {
      address: options.address,
      enter: [
        `--net=${namespaces}/net`,
        `--uts=${namespaces}/uts`,
        `--ipc=${namespaces}/ipc`,
        `--pid=${namespaces}/pid_for_children`,
      ],
      ended,
      destroy: () => destroy(child, options.address, ended),
    };
  } catch (thrown) {
    await destroy(child, options.address, ended);
    throw thrown;
  }
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new MeshError('pod-sandbox', 'unshare could not be started');
  return child.pid;
}

async function destroy(child: ChildProcess, address: string, ended: Promise<void>): Promise<void> {
  // The pod's own process 1, so that unshare collects it; unshare itself when it has not come that far.
  const first = onlyChild(child.pid);
  try {
    if (first === undefined) child.kill('SIGKILL');
    else process.kill(first, 'SIGKILL');
  } catch {
    // it ended in the meantime
  }
  await ended;
  // The kernel removes the link with the namespace, but later: the address may be given out again before that.
  await runTool(['ip', 'link', 'delete', linkName(address)]).catch(() => {});
}
