import type { LimitSpec } from '@mesh/limits/limits';

export const nodeLimits = {
  node_control_line_bytes: {
    default: 1024,
    unit: 'bytes',
    why: 'A command of the control socket names an address, or a pod and a container.',
    uncounted: 'Programs of local clusters have no metrics page.',
  },
  node_control_dial_ms: {
    default: 10_000,
    unit: 'ms',
    why: 'Whoever dials into a cluster waits no longer than this for an address that drops packets.',
    uncounted: 'Programs of local clusters have no metrics page.',
  },
  node_dns_tcp_ms: {
    default: 10_000,
    unit: 'ms',
    why: 'A resolver asks at once after it has connected; its connection ends after this time.',
    uncounted: 'Programs of local clusters have no metrics page.',
  },
  node_log_line_bytes: {
    default: 16 * 1024,
    unit: 'bytes',
    why: 'Longer lines are written in parts, as container runtimes do.',
    uncounted: 'Programs of local clusters have no metrics page.',
  },
  node_log_chunk_bytes: {
    default: 64 * 1024,
    unit: 'bytes',
    why: 'One read of a container log, so that a large log is streamed.',
    uncounted: 'Programs of local clusters have no metrics page.',
  },
  node_tool_output_bytes: {
    default: 2000,
    unit: 'bytes',
    why: 'So much of what a failing system tool said goes into the error.',
    uncounted: 'Programs of local clusters have no metrics page.',
  },
} as const satisfies Record<string, LimitSpec>;
