import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';

/**
 * What an accepted client sent, leaf first, as DER; empty when it sent none. At most `max` + 1 are read.
 *
 * Node 24.21 looks at the client's certificate itself once OpenSSL has verified it, and thereby loses the
 * intermediates (nodejs/node#65579): then only the leaf is here. For unverified clients the chain is complete.
 */
export function clientChain(socket: TLSSocket, max: number): Buffer[] {
  const chain: Buffer[] = [];
  let certificate = socket.getPeerX509Certificate();
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
