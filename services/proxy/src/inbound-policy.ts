/** Whether a client may call: the policy of one port, and its verdict. */
import { BlockList, isIPv6 } from 'node:net';
import { durationToMs, ipToText } from '@mesh/control-api/convert';
import type { Authz, HttpRoute, Network, Server } from '@mesh/control-api/gen/linkerd/inbound_pb';
import type { RequestHead } from '@mesh/http/message';
import type { SyntheticReason } from '@mesh/http/synthetic';
import { parseIdentity } from '@mesh/trust/names';
import type { InboundPolicy } from './config.ts';

interface InboundRefusalFacts {
  readonly text: string;
  readonly answer: SyntheticReason;
  readonly remedy: string;
}

/** Why a client is refused, what HTTP clients hear, and what to do about it. The reason is a metric label. */
export const inboundRefusals = {
  unauthenticated: {
    text: 'the policy of this pod demands a mesh identity',
    answer: 'unauthorized',
    remedy: 'Mesh the client, or set `mesh.io/default-inbound-policy` to `all-unauthenticated`.',
  },
  'foreign-cluster': {
    text: 'the policy of this pod admits only identities of its own cluster',
    answer: 'unauthorized',
    remedy: 'Set `mesh.io/default-inbound-policy` to `all-authenticated`.',
  },
  'identity-not-allowed': {
    text: 'the policy of this pod does not admit this identity',
    answer: 'unauthorized',
    remedy: 'Add the identity to the policy; `client_id` of the metric has it.',
  },
  'network-not-allowed': {
    text: 'the policy of this pod does not admit clients of this network',
    answer: 'unauthorized',
    remedy: 'Add the network to the policy.',
  },
  denied: {
    text: 'the policy of this pod admits nobody',
    answer: 'unauthorized',
    remedy: 'Set `mesh.io/default-inbound-policy` to something else than `deny`.',
  },
  'invalid-policy': {
    text: 'the policy of this pod cannot be read',
    answer: 'unexpected',
    remedy: 'Mend the policy that the control plane states for this port; until then nobody is admitted.',
  },
} as const satisfies Record<string, InboundRefusalFacts>;

export type InboundRefusal = keyof typeof inboundRefusals;

/** One rule that admits clients. */
interface Authorization {
  /** Undefined: from anywhere. */
  readonly networks: Networks | undefined;
  readonly clients: Clients;
}

interface Networks {
  readonly within: BlockList;
  readonly except: BlockList;
}

/** `suffixes` match at a label boundary. */
type Clients =
  | { readonly kind: 'anybody' }
  | { readonly kind: 'any-identity' }
  | {
      readonly kind: 'identities';
      readonly names: ReadonlySet<string>;
      readonly suffixes: readonly string[];
    };

/** Policy of one port. Never changed, only replaced, so that one comparison tells whether there is a new one. */
export interface ServerPolicy {
  /** Bytes are not parsed, not even for TLS. */
  readonly opaque: boolean;
  readonly detectTimeoutMs: number;
  readonly authorizations: readonly Authorization[];
  /** `GET /ready`: method and path of what more clients may ask for, because a kubelet probes it. */
  readonly openPaths: ReadonlyMap<string, readonly Authorization[]>;
  /** The control plane said something that makes no sense; nobody is admitted until it says better. */
  readonly invalid: boolean;
}

/** Where this pod is. */
export interface PolicyContext {
  /** Own cluster. */
  readonly cluster: string;
  /** Suffix of trust domains. */
  readonly suffix: string;
}

export interface Caller {
  /** What its certificate proved, or whom our own gateway vouches for; undefined for plaintext. */
  readonly identity: string | undefined;
  /** Address of the connection. */
  readonly address: string;
}

const anyIdentity: Clients = { kind: 'any-identity' };

/** Policy of a port by one of the named defaults. */
export function defaultPolicy(
  name: InboundPolicy,
  { opaque, detectTimeoutMs }: Pick<ServerPolicy, 'opaque' | 'detectTimeoutMs'>,
  context: PolicyContext,
): ServerPolicy {
  const authorizations = defaultAuthorizations(name, context);
  return { opaque, detectTimeoutMs, authorizations, openPaths: new Map(), invalid: false };
}

function defaultAuthorizations(
  policy: InboundPolicy,
  { cluster, suffix }: PolicyContext,
): readonly Authorization[] {
  switch (policy) {
    case 'all-unauthenticated':
      return [{ networks: undefined, clients: { kind: 'anybody' } }];
    case 'all-authenticated':
      return [{ networks: undefined, clients: anyIdentity }];
    case 'cluster-authenticated': {
      const clients = {
        kind: 'identities',
        names: new Set<string>(),
        suffixes: [`${cluster}.${suffix}`],
      } as const;
      return [{ networks: undefined, clients }];
    }
    case 'deny':
      return [];
  }
}

/** Undefined when the client may call. */
export function inboundRefusal(
  policy: ServerPolicy,
  caller: Caller,
  context: PolicyContext,
): InboundRefusal | undefined {
  if (policy.invalid) return 'invalid-policy';
  let inNetwork = false;
  for (const { networks, clients } of policy.authorizations) {
    if (networks !== undefined && !isWithin(networks, caller.address)) continue;
    inNetwork = true;
    if (admits(clients, caller.identity)) return undefined;
  }
  if (policy.authorizations.length === 0) return 'denied';
  if (!inNetwork) return 'network-not-allowed';
  if (caller.identity === undefined) return 'unauthenticated';
  const home = parseIdentity(caller.identity, context.suffix)?.cluster === context.cluster;
  return home ? 'identity-not-allowed' : 'foreign-cluster';
}

/** Whether `path`, which may have a query, is open to a caller that may not call otherwise. */
export function isOpenPath(
  { openPaths }: ServerPolicy,
  { method, path }: Pick<RequestHead, 'method' | 'path'>,
  caller: Caller,
): boolean {
  if (openPaths.size === 0) return false;
  const query = path.indexOf('?');
  const more = openPaths.get(`${method} ${query === -1 ? path : path.slice(0, query)}`) ?? [];
  return more.some(
    ({ networks, clients }) =>
      (networks === undefined || isWithin(networks, caller.address)) && admits(clients, caller.identity),
  );
}

function admits(clients: Clients, identity: string | undefined): boolean {
  if (clients.kind === 'anybody') return true;
  if (identity === undefined) return false;
  if (clients.kind === 'any-identity') return true;
  return clients.names.has(identity) || clients.suffixes.some((suffix) => identity.endsWith(`.${suffix}`));
}

function isWithin({ within, except }: Networks, address: string): boolean {
  const family = isIPv6(address) ? 'ipv6' : 'ipv4';
  return within.check(address, family) && !except.check(address, family);
}

/**
 * The policy that the control plane states (`io.linkerd.proxy.inbound.Server`). Of its protocols, opaque ones are not
 * parsed and all others detected: what a client speaks is seen from its first bytes anyway. Of its routes, those of probes are
 * read: GET and, for gRPC, POST of an exact path.
 */
export function serverPolicy(server: Server, detectTimeoutMs: number): ServerPolicy {
  const kind = server.protocol?.kind;
  const authorizations = readAuthorizations(server.authorizations);
  const timeout = kind?.case === 'detect' ? durationToMs(kind.value.timeout) : detectTimeoutMs;
  const openPaths = readRoutes(server);
  const invalid =
    kind?.case === undefined ||
    authorizations === undefined ||
    openPaths === undefined ||
    timeout === undefined;
  return {
    opaque: kind?.case === 'opaque' || kind?.case === 'tls',
    detectTimeoutMs: timeout ?? detectTimeoutMs,
    authorizations: authorizations ?? [],
    openPaths: openPaths ?? new Map(),
    invalid,
  };
}

function routesOf({ protocol }: Server): readonly HttpRoute[] {
  switch (protocol?.kind.case) {
    case 'detect':
      return protocol.kind.value.httpRoutes;
    case 'http1':
    case 'http2':
      return protocol.kind.value.routes;
    default:
      return [];
  }
}

/** By their number in `HttpMethod.Registered`. */
const probeMethods: readonly string[] = ['GET', 'POST'];

function readRoutes(server: Server): Map<string, readonly Authorization[]> | undefined {
  const open = new Map<string, readonly Authorization[]>();
  for (const { authorizations, rules } of routesOf(server)) {
    const more = readAuthorizations(authorizations);
    if (more === undefined) return undefined;
    if (more.length === 0) continue;
    for (const { path, method, headers, queryParams } of rules.flatMap(({ matches }) => matches)) {
      const verb = method?.type.case === 'registered' ? probeMethods[method.type.value] : undefined;
      const plain = headers.length === 0 && queryParams.length === 0;
      if (path?.kind.case === 'exact' && verb !== undefined && plain)
        open.set(`${verb} ${path.kind.value}`, more);
    }
  }
  return open;
}

/** Undefined when one of them is incomplete. */
function readAuthorizations(list: readonly Authz[]): Authorization[] | undefined {
  const read: Authorization[] = [];
  for (const { networks, authentication } of list) {
    const clients = readClients(authentication?.permit);
    const from = readNetworks(networks);
    if (clients === undefined || from === undefined) return undefined;
    read.push({ networks: from === 'any' ? undefined : from, clients });
  }
  return read;
}

function readClients(
  permit: NonNullable<Authz['authentication']>['permit'] | undefined,
): Clients | undefined {
  if (permit?.case === 'unauthenticated') return { kind: 'anybody' };
  if (permit?.case !== 'meshTls') return undefined;
  const { clients } = permit.value;
  if (clients.case === 'unauthenticated') return anyIdentity;
  if (clients.case !== 'identities') return undefined;
  const { identities, suffixes } = clients.value;
  // A suffix without parts is any identity.
  if (suffixes.some(({ parts }) => parts.length === 0)) return anyIdentity;
  return {
    kind: 'identities',
    names: new Set(identities.map(({ name }) => name)),
    suffixes: suffixes.map(({ parts }) => parts.join('.')),
  };
}

function readNetworks(networks: readonly Network[]): Networks | 'any' | undefined {
  if (networks.length === 0) return undefined;
  const lists: Networks = { within: new BlockList(), except: new BlockList() };
  const everywhere = new Set<string>();
  for (const { net, except } of networks) {
    for (const [list, network] of [
      [lists.within, net] as const,
      ...except.map((each) => [lists.except, each] as const),
    ]) {
      const address = ipToText(network?.ip);
      const bits = network?.prefixLen ?? 0;
      if (address === undefined || bits > (isIPv6(address) ? 128 : 32)) return undefined;
      const family = isIPv6(address) ? 'ipv6' : 'ipv4';
      list.addSubnet(address, bits, family);
      if (list === lists.within && bits === 0 && except.length === 0) everywhere.add(family);
    }
  }
  return everywhere.size === 2 ? 'any' : lists;
}
