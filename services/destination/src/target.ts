/** What a client asks for by name. */
import { isIP } from 'node:net';
import { parseHostPort } from '@mesh/control-api/convert';

export interface Target {
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
  /** Host name of one pod of a headless service; undefined for all of them. */
  readonly hostname: string | undefined;
}

export interface TargetFault {
  readonly fault: string;
}

const label = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/i;

/**
 * Reads `svc.ns.svc.DOMAIN:port`, `pod.svc.ns.svc.DOMAIN:port` and both without the domain; a missing port is 80.
 * Addresses and other names are faults.
 */
export function parseTarget(authority: string, clusterDomain: string): Target | TargetFault {
  const address = parseHostPort(authority, 80);
  if (address === undefined) return { fault: `${JSON.stringify(authority)} is not host:port` };
  if (isIP(address.host) !== 0) return { fault: `${authority} is an address, not a service name` };
  let name = address.host.toLowerCase().replace(/\.$/, '');
  if (name.endsWith(`.${clusterDomain}`)) name = name.slice(0, -clusterDomain.length - 1);
  const parts = name.split('.');
  if (parts.pop() !== 'svc' || parts.length < 2 || parts.length > 3 || !parts.every((p) => label.test(p))) {
    return {
      fault: `${authority} is not a service of this cluster: expected NAME.NAMESPACE.svc.${clusterDomain}`,
    };
  }
  const namespace = parts.pop() ?? '';
  const service = parts.pop() ?? '';
  return { namespace, service, port: address.port, hostname: parts.pop() };
}

export function formatTarget({ namespace, service, port, hostname }: Target, clusterDomain: string): string {
  const host = hostname === undefined ? service : `${hostname}.${service}`;
  return `${host}.${namespace}.svc.${clusterDomain}:${port}`;
}
