/** The bench's own network, processes and mounts: nothing of the machine is touched, and all of it ends with the bench. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { worldNamespaces } from '@mesh/local/prerequisites';
import { runTool } from '@mesh/node/run-tool';
import { hostAddress } from './control-plane.ts';

const inside = 'BENCH_WORLD';

export function isInWorld(): boolean {
  return process.env[inside] !== undefined;
}

/** Runs this program again inside namespaces of its own, behind a `prefix` like nice(1); gives its exit code. */
export async function runInWorld(
  program: string,
  args: readonly string[],
  prefix: readonly string[] = [],
): Promise<number> {
  const child = spawn(
    'unshare',
    [...worldNamespaces(process.getuid?.() ?? 0), '--', ...prefix, process.execPath, program, ...args],
    { stdio: 'inherit', env: { ...process.env, [inside]: '1' } },
  );
  // unshare itself ignores them, and its child is the init of its namespace, which does so, too.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill('SIGKILL'));
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

/** Makes the world's network a router between pods. */
export async function prepareNetwork(): Promise<void> {
  await runTool(['ip', 'link', 'set', 'lo', 'up']);
  await runTool(['ip', 'address', 'add', `${hostAddress}/32`, 'dev', 'lo']);
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
}
