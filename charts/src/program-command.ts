/**
 * How a bundled program is started. Proxies and gateways are kept small by it, at no cost in CPU time: what each of these does and
 * what was measured is in docs/decisions/0010-collector-of-proxies.md.
 */
export const dataPlaneFlags: readonly string[] = [
  // Bytes on their way live outside the engine's heap and are let go of when their young wrappers are collected.
  '--max-semi-space-size=1',
  '--single-threaded-gc',
  // What outlives a request by a little is collected before it is as large as what stays.
  '--heap-growing-percent=20',
  // Loops that run once, at the start, are not worth the pages of the optimizing compiler.
  '--no-use-osr',
  // Its jobs wait with all they allocated: 15 to 30 MB while a load begins, for nothing that TurboFan does not do soon after.
  '--no-maglev',
  // One function is compiled at a time: each takes megabytes meanwhile.
  '--v8-pool-size=1',
];

/** Of the same programs: what threads let go of is free for all of them. */
export const dataPlaneEnvironment: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: '1' };

const dataPlane: ReadonlySet<string> = new Set(['proxy', 'gateway']);

/** Command of the bundle `program` under /opt/mesh. */
export function programCommand(program: string): string[] {
  return ['node', ...(dataPlane.has(program) ? dataPlaneFlags : []), `/opt/mesh/${program}.js`];
}
