/** A network of its own for a test: nothing of the machine's rules is touched. */
import { spawnSync } from 'node:child_process';

/** Arguments of `unshare` before the command. */
export const inNamespace: readonly string[] = [
  '--net',
  ...(process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']),
  '--',
];

/** Why such tests cannot run here, or undefined. */
export function whyNoNamespace(): string | undefined {
  const script = 'ip link set lo up && iptables -t nat -S OUTPUT';
  const probe = spawnSync('unshare', [...inNamespace, 'sh', '-c', script], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  if (probe.status === 0) return undefined;
  return `no network namespace with iptables: ${probe.error?.message ?? probe.stderr.trim()}`;
}
