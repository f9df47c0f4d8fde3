/** Opens a connection for opaque bytes to an endpoint: plain, mesh TLS, or mesh TLS with a transport header. */
import type { Socket } from 'node:net';
import { hostOf, portOf } from '@mesh/http/canonical';
import type { Endpoint } from './endpoint.ts';
import { encodeTransportHeader, transportHeaderAlpn } from '@mesh/transport/transport-header';

/** Whom a gateway speaks for, and how many gateways the connection passed. */
export interface Behalf {
  readonly clientId: string;
  readonly hops: number;
}

/**
 * Rejects with a ConnectError.
 * @param behalf of whom a gateway opens the connection
 */
export async function dialOpaque(endpoint: Endpoint, behalf: Behalf | undefined): Promise<Socket> {
  const { authorityOverride, identity, port, transportPort } = endpoint.spec;
  if (identity === undefined || (authorityOverride === '' && transportPort === 0)) {
    return endpoint.peer.dial([]);
  }
  const header = encodeTransportHeader({
    port: authorityOverride === '' ? port : (portOf(authorityOverride) ?? port),
    name: authorityOverride === '' ? '' : hostOf(authorityOverride),
    sessionProtocol: undefined,
    clientId: behalf?.clientId ?? '',
    hops: behalf?.hops ?? 0,
  });
  const socket = await endpoint.transportPeer().dial([transportHeaderAlpn]);
  socket.write(header);
  return socket;
}
