/** What discovery says about one endpoint, as the data plane uses it. */
import { ipToText, tcpAddressToHostPort } from '@mesh/control-api/convert';
import type { TcpAddress } from '@mesh/control-api/gen/linkerd/net_pb';
import type { WeightedAddr } from '@mesh/control-api/gen/linkerd/destination_pb';

/**
 * - `h2`: a proxy at the other end takes HTTP/2 that carries HTTP/1. - `opaque`: the port is not to be parsed.
 * - `unknown`: speak what the client speaks.
 */
export type ProtocolHint = 'h2' | 'opaque' | 'unknown';

export interface EndpointSpec {
  /** `ip:port`, the identity of the endpoint over updates. */
  readonly key: string;
  readonly host: string;
  readonly port: number;
  /** Identity to demand of its certificate; undefined: plaintext. */
  readonly identity: string | undefined;
  readonly protocol: ProtocolHint;
  /** Connect here with a transport header for opaque bytes; 0 for none. */
  readonly transportPort: number;
  /** `name:port` to ask a gateway for; empty for ordinary endpoints. */
  readonly authorityOverride: string;
  readonly tier: number;
  readonly weight: number;
  /** `dst_*` labels. */
  readonly labels: Readonly<Record<string, string>>;
}

/** Weight that stands for one ordinary endpoint on the wire. */
const unitWeight = 10_000;

/** `ip:port` of an address; undefined when it is none. */
export function addressKey(address: TcpAddress | undefined): string | undefined {
  const ip = ipToText(address?.ip);
  return address === undefined || ip === undefined ? undefined : `${ip}:${address.port}`;
}

/** Undefined for an address that cannot be used: the endpoint is left out of the set. */
export function endpointSpec(
  entry: WeightedAddr,
  setLabels: Readonly<Record<string, string>>,
): EndpointSpec | undefined {
  const address = tcpAddressToHostPort(entry.addr);
  const key = addressKey(entry.addr);
  if (address === undefined || key === undefined || address.port === 0) return undefined;
  const { protocolHint, tlsIdentity, readyBehind } = entry;
  const identity = tlsIdentity?.strategy.case === 'dnsLikeIdentity' ? tlsIdentity.strategy.value.name : '';
  const transportPort = protocolHint?.opaqueTransport?.inboundPort ?? 0;
  const hint = protocolHint?.protocol.case;
  return {
    key,
    host: address.host,
    port: address.port,
    identity: identity === '' ? undefined : identity,
    protocol: hint ?? 'unknown',
    transportPort: transportPort > 0 && transportPort < 65_535 ? transportPort : 0,
    authorityOverride: entry.authorityOverride?.authorityOverride ?? '',
    tier: entry.tier,
    weight: readyBehind > 0 ? readyBehind : entry.weight > 0 ? entry.weight / unitWeight : 1,
    labels: dstLabels(setLabels, entry.metricLabels),
  };
}

/** An endpoint that nothing is known about: plaintext, whatever the client speaks. */
export function plainEndpoint(host: string, port: number): EndpointSpec {
  return {
    key: `${host}:${port}`,
    host,
    port,
    identity: undefined,
    protocol: 'unknown',
    transportPort: 0,
    authorityOverride: '',
    tier: 0,
    weight: 1,
    labels: {},
  };
}

/**
 * Whether HTTP for it, which is found where the port of the Service is not opaque, must be announced to the proxy beside it by a
 * transport header: on an opaque port that passes on all bytes as they come, TLS too.
 */
export function needsHeader({ authorityOverride, identity, protocol, transportPort }: EndpointSpec): boolean {
  return protocol === 'opaque' && identity !== undefined && authorityOverride === '' && transportPort !== 0;
}

/** Whether both are reached in the same way, so that connections and load state may be kept. */
export function sameEndpoint(one: EndpointSpec, other: EndpointSpec): boolean {
  return (
    one.key === other.key &&
    one.identity === other.identity &&
    one.protocol === other.protocol &&
    one.transportPort === other.transportPort &&
    one.authorityOverride === other.authorityOverride &&
    sameLabels(one.labels, other.labels)
  );
}

function sameLabels(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}

/** Labels of the address win over those of the set; sorted, so that equal sets render equally. */
function dstLabels(
  setLabels: Readonly<Record<string, string>>,
  own: Readonly<Record<string, string>>,
): Record<string, string> {
  const merged = { ...setLabels, ...own };
  const labels: Record<string, string> = {};
  for (const name of Object.keys(merged).sort()) {
    if (/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name)) labels[`dst_${name}`] = merged[name] ?? '';
  }
  return labels;
}
