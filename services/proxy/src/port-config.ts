import type { ConfigEntry } from '@mesh/config/environment';
import { parsePortRange, type PortRange } from './redirect-rules.ts';

/** A port or a range `from-to`; used inside `list`. */
export const portRange: ConfigEntry<PortRange> = {
  doc: '',
  kind: 'port range',
  default: undefined,
  allowed: 'a port from 1 to 65535 or a range such as 4000-4100',
  parse: parsePortRange,
};
