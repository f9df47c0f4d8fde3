/**
 * How a bundled program is started. Proxies and gateways get a young generation of 1 MiB and a collector without threads: bytes
 * on their way live outside the engine's heap and are let go of when their young wrappers are collected, so that collecting
 * those often and cheaply is what keeps memory small (docs/decisions/0010-collector-of-proxies.md).
 */
export const dataPlaneFlags: readonly string[] = ['--max-semi-space-size=1', '--single-threaded-gc'];

const dataPlane: ReadonlySet<string> = new Set(['proxy', 'gateway']);

/** Command of the bundle `program` under /opt/mesh. */
export function programCommand(program: string): string[] {
  return ['node', ...(dataPlane.has(program) ? dataPlaneFlags : []), `/opt/mesh/${program}.js`];
}
