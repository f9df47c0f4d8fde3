import type { LimitSpec } from '@mesh/limits/limits';

export const proxyLimits = {
  policy_ports: {
    default: 256,
    unit: 'count',
    why: 'Ports whose policy is watched beyond those of MESH_INBOUND_PORTS. The one not used for longest makes room, those first that nothing was said of yet; connections to further ones are closed at once while all are in use, or their last policy could not be asked for again.',
  },
  policy_port_evictions: {
    default: 100,
    unit: 'count',
    why: 'Burst of such ports that made room, a tenth of it more each second; meanwhile `policy_ports` counts as all in use. Each is a stream of the control plane that is reset and another one that is opened, and a scan of ports must not wear that out.',
  },
} as const satisfies Record<string, LimitSpec>;

export type ProxyLimit = keyof typeof proxyLimits;
