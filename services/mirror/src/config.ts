import { duration, integer } from '@mesh/config/environment';
import { workloadConfig } from '@mesh/dataplane/workload';

/** Settings of the mirror controller. */
export const mirrorConfig = {
  ...workloadConfig,
  MESH_FEDERATION_PORT: integer({
    doc: 'Port of the federation API, for the gateway.',
    default: 8087,
    min: 0,
    max: 65_535,
  }),
  MESH_ADMIN_PORT: integer({
    doc: 'Port of /ready, /live and /metrics.',
    default: 9990,
    min: 0,
    max: 65_535,
  }),
  MESH_MIRROR_MAX_EXPORTS: integer({
    doc: 'Services that one peer may export to us.',
    default: 10_000,
    min: 1,
    max: 1_000_000,
  }),
  MESH_MIRROR_MAX_AGE: duration({
    doc: 'What a silent peer exported is dropped after this time; until then its endpoints come last.',
    default: '24h',
    min: '1m',
    max: '8760h',
  }),
  MESH_CONNECT_TIMEOUT: duration({
    doc: 'Time to reach a gateway, handshake included.',
    default: '2s',
    min: '100ms',
    max: '60s',
  }),
};
