/** Settings of the init container that redirects a pod's traffic. */
import { type ConfigEntry, integer, list, oneOf } from '@mesh/config/environment';
import { portRange } from './port-config.ts';

const network: ConfigEntry<string> = {
  doc: '',
  kind: 'IPv4 network',
  default: undefined,
  allowed: 'an IPv4 network such as 10.0.0.0/8',
  parse: (text) => {
    const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text);
    if (match === null || Number(match[5]) > 32) return undefined;
    return match.slice(1, 5).every((part) => Number(part) <= 255) ? text : undefined;
  },
};

export const initConfig = {
  MESH_INIT_PROXY_UID: integer({
    doc: 'User id of the proxy, whose own connections are not redirected.',
    default: 2102,
    min: 1,
    max: 4_294_967_294,
  }),
  MESH_INIT_INBOUND_PORT: integer({ doc: 'Inbound port of the proxy.', default: 4143, min: 1, max: 65_535 }),
  MESH_INIT_OUTBOUND_PORT: integer({
    doc: 'Outbound port of the proxy.',
    default: 4140,
    min: 1,
    max: 65_535,
  }),
  MESH_INIT_SKIP_INBOUND_PORTS: list(portRange, {
    doc: 'Ports that clients reach without the proxy; 4190 and 4191 always are.',
    default: '4567,4568',
  }),
  MESH_INIT_SKIP_OUTBOUND_PORTS: list(portRange, {
    doc: 'Ports that the application dials without the proxy.',
    default: '4567,4568',
  }),
  MESH_INIT_SKIP_OUTBOUND_NETWORKS: list(network, {
    doc: 'Networks that the application dials without the proxy.',
    default: '',
  }),
  MESH_INIT_IPTABLES: oneOf(['iptables', 'iptables-nft', 'iptables-legacy'], {
    doc: 'Which iptables to use.',
    default: 'iptables',
  }),
};
