/** Opens a connection for opaque bytes to an endpoint: plain, mesh TLS, or mesh TLS with a transport header. */
import type { Socket } from 'node:net';
import { hostOf, portOf } from '@mesh/http/canonical';
import type { Endpoint } from './endpoint.ts';
import type { PeerPool } from './peer-pool.ts';
import { encodeTransportHeader, transportAlpn } from './transport-header.ts';

export interface OpaqueDialOptions {
  peers: PeerPool;
  /** Caller to vouch for; only gateways do. */
  client?: string;
}

/** Rejects with a ConnectError. */
export async function dialOpaque(
  { peer, spec }: Endpoint,
  { peers, client = '' }: OpaqueDialOptions,
): Promise<Socket> {
  const { authorityOverride, host, identity, port, transportPort } = spec;
  if (identity === undefined) return peer.dial([]);
  if (authorityOverride === '' && transportPort === 0) return peer.dial([]);
  const header = encodeTransportHeader({
    port: authorityOverride === '' ? port : (portOf(authorityOverride) ?? port),
    name: authorityOverride === '' ? '' : hostOf(authorityOverride),
    protocol: 'opaque',
    client,
  });
  const viaPort = transportPort === 0 ? port : transportPort;
  const direct = viaPort === port ? undefined : peers.hold({ host, port: viaPort, identity, gateway: false });
  try {
    const socket = await (direct ?? peer).dial([transportAlpn]);
    socket.write(header);
    return socket;
  } finally {
    if (direct !== undefined) peers.release(direct);
  }
}
