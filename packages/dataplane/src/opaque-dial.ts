/** Opens a connection for opaque bytes to an endpoint: plain, mesh TLS, or mesh TLS with a transport header. */
import type { Socket } from 'node:net';
import { hostOf, portOf } from '@mesh/http/canonical';
import type { Endpoint } from './endpoint.ts';
import type { PeerPool } from './peer-pool.ts';
import { encodeTransportHeader, transportHeaderAlpn } from '@mesh/transport/transport-header';

export interface OpaqueDialOptions {
  peers: PeerPool;
  /** Of whom a gateway opens the connection. */
  behalf?: Behalf | undefined;
}

/** Whom a gateway speaks for, and how many gateways the connection passed. */
export interface Behalf {
  readonly clientId: string;
  readonly hops: number;
}

/** Rejects with a ConnectError. */
export async function dialOpaque(
  { peer, spec }: Endpoint,
  { peers, behalf }: OpaqueDialOptions,
): Promise<Socket> {
  const { authorityOverride, host, identity, port, transportPort } = spec;
  if (identity === undefined) return peer.dial([]);
  if (authorityOverride === '' && transportPort === 0) return peer.dial([]);
  const header = encodeTransportHeader({
    port: authorityOverride === '' ? port : (portOf(authorityOverride) ?? port),
    name: authorityOverride === '' ? '' : hostOf(authorityOverride),
    sessionProtocol: undefined,
    clientId: behalf?.clientId ?? '',
    hops: behalf?.hops ?? 0,
  });
  const viaPort = transportPort === 0 ? port : transportPort;
  const direct = viaPort === port ? undefined : peers.hold({ host, port: viaPort, identity, gateway: false });
  try {
    const socket = await (direct ?? peer).dial([transportHeaderAlpn]);
    socket.write(header);
    return socket;
  } finally {
    if (direct !== undefined) peers.release(direct);
  }
}
