import type { LimitSpec } from '@mesh/limits/limits';

export const proxyLimits = {
  policy_ports: {
    default: 256,
    unit: 'count',
    why: 'Ports whose policy is watched beyond those of MESH_INBOUND_PORTS. The one not used for longest makes room; when all are in use, further ones go by the default policy.',
  },
} as const satisfies Record<string, LimitSpec>;

export type ProxyLimit = keyof typeof proxyLimits;
