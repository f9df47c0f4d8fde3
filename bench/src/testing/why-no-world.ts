import { spawnSync } from 'node:child_process';
import { worldNamespaces } from '@mesh/local/prerequisites';

/** Why a bench cannot run here, or undefined. */
export function whyNoWorld(): string | undefined {
  const namespaces = worldNamespaces(process.getuid?.() ?? 0);
  const probe = spawnSync('unshare', [...namespaces, '--', 'iptables', '-t', 'nat', '-S', 'OUTPUT'], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  if (probe.status === 0) return undefined;
  return `no namespaces with iptables: ${probe.error?.message ?? probe.stderr.trim()}`;
}
