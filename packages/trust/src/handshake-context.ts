/**
 * The handshake that Node's code is busy with, and a guard around what it does there.
 *
 * Node 24.21 looks at the certificate of each client that OpenSSL has verified by a call that takes the intermediates out of the
 * connection's list and never frees the first of them (nodejs/node#65579; later versions ask `hasPeerCertificate`): 5.6 kB for each
 * accepted connection, outside the heap, for ever. Its question is only whether there is a certificate. The acceptor asks that
 * itself, and refuses who has none, so that Node need not.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { TLSSocket } from 'node:tls';

/** Ties the events of a `tls.Server` to the handshake they are about; Node's event carries only the new TLS socket. */
export const handshakeContext: AsyncLocalStorage<unknown> = new AsyncLocalStorage();

/** What Node's TLS handle has, of which nothing is documented. */
interface TlsHandle {
  getPeerX509Certificate(): unknown;
}

let guarded = false;

/**
 * From the first accepted socket on, Node's question is answered so in every handshake of `handshakeContext`. Client sockets, and
 * other servers of the process, are not touched. Where Node asks otherwise it does nothing.
 */
export function guardPeerCertificates(socket: TLSSocket): void {
  if (guarded) return;
  const { _handle: handle } = socket as unknown as { readonly _handle: TlsHandle | null };
  if (handle === null) return;
  guarded = true;
  if ('hasPeerCertificate' in handle || typeof handle.getPeerX509Certificate !== 'function') return;
  const prototype = Object.getPrototypeOf(handle) as TlsHandle;
  const taking = prototype.getPeerX509Certificate;
  prototype.getPeerX509Certificate = function (this: TlsHandle): unknown {
    return handshakeContext.getStore() === undefined ? taking.call(this) : true;
  };
}
