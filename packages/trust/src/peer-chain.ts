import type { DetailedPeerCertificate, PeerCertificate, TLSSocket } from 'node:tls';
import { handshakeContext } from './handshake-context.ts';

/** The leaf of a client, as DER; undefined when it sent none. Where OpenSSL has verified it, its intermediates need no second look. */
export function peerLeaf(socket: TLSSocket): Buffer | undefined {
  const { raw } = socket.getPeerCertificate(false) as Partial<PeerCertificate>;
  return raw;
}

/**
 * All that a client sent, leaf first, as DER; empty when it sent none. At most `max` + 1 are read. Leaks a certificate where Node
 * does (handshake-context.ts), so that it is not for every client.
 */
export function wholeClientChain(socket: TLSSocket, max: number): Buffer[] {
  const chain: Buffer[] = [];
  let certificate = handshakeContext.exit(() => socket.getPeerX509Certificate());
  while (certificate !== undefined && chain.length <= max) {
    chain.push(certificate.raw);
    certificate = certificate.issuerCertificate;
  }
  return chain;
}

/**
 * What a peer sent, leaf first, as DER, as far as each certificate names the next one as its issuer; at most `max` + 1 are read. `leaf`
 * is of `getPeerCertificate(true)`, or what Node hands to `checkServerIdentity`: unlike the newer call it leaves the connection's own
 * list alone.
 */
export function linkedChain(leaf: DetailedPeerCertificate, max: number): Buffer[] {
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
