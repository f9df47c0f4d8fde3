import type { DetailedPeerCertificate, PeerCertificate, TLSSocket } from 'node:tls';
import { handshakeContext } from './handshake-context.ts';

/**
 * What an accepted client sent, leaf first, as DER; empty when it sent none. At most `max` + 1 are read. Of a client that OpenSSL has
 * verified only the leaf: the call that shows intermediates leaks one of them (handshake-context.ts), which is bearable
 * for those that are refused, so that the log can say why.
 */
export function clientChain(socket: TLSSocket, max: number): Buffer[] {
  if (socket.authorized) {
    const { raw } = socket.getPeerCertificate(false) as Partial<PeerCertificate>;
    return raw === undefined ? [] : [raw];
  }
  const chain: Buffer[] = [];
  let certificate = handshakeContext.exit(() => socket.getPeerX509Certificate());
  while (certificate !== undefined && chain.length <= max) {
    chain.push(certificate.raw);
    certificate = certificate.issuerCertificate;
  }
  return chain;
}

/**
 * What a server sent, leaf first, as DER; at most `max` + 1 are read. `leaf` is what Node hands to `checkServerIdentity`:
 * unlike the newer call it leaves the connection's own list alone.
 */
export function serverChain(leaf: DetailedPeerCertificate, max: number): Buffer[] {
  const chain: Buffer[] = [];
  let certificate: DetailedPeerCertificate | undefined = leaf;
  while (certificate?.raw !== undefined && chain.length <= max) {
    chain.push(certificate.raw);
    const issuer: DetailedPeerCertificate | undefined = certificate.issuerCertificate;
    // The end of a chain that includes its anchor points at itself.
    certificate = issuer === certificate ? undefined : issuer;
  }
  return chain;
}
