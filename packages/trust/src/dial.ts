/** The one place where the mesh opens TLS: to exactly one expected identity. */
import type { Socket } from 'node:net';
import { connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import type { Clock } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import { type ChainAccepted, type ChainRefusal, checkChain } from './chain.ts';
import { type AnchorsOnly, anchorsOf, CredentialStore, secureContextOf } from './credentials.ts';
import { trustLimits } from './limits.ts';
import { linkedChain } from './peer-chain.ts';
import { refusalOf, type RefusalReason } from './refusal.ts';

interface DialCommon {
  /** The server's only SAN must equal this, and it is sent as SNI. */
  identity: string;
  /** Protocols to offer, best first; empty sends no ALPN extension. The server must choose one when any is offered. */
  alpn: readonly string[];
  /** A store presents our certificate; anchors alone dial without one, to get the first certificate. */
  credentials: CredentialStore | AnchorsOnly;
  clock: Clock;
  /** For connecting and handshake together. */
  timeoutMs: number;
  /** Suffix of trust domains. */
  suffix?: string;
}

export type DialOptions = DialCommon & ({ socket: Socket } | { host: string; port: number });

/** Dialling failed. `reason` is `connect-failed` or `timeout` when no certificate was judged. */
export class TlsDialError extends MeshError {
  readonly reason: RefusalReason | 'connect-failed' | 'timeout';

  constructor(
    reason: RefusalReason | 'connect-failed' | 'timeout',
    message: string,
    options: { remedy?: string; cause?: unknown } = {},
  ) {
    super('tls-dial-failed', message, options);
    this.name = 'TlsDialError';
    this.reason = reason;
  }
}

const validUntil: WeakMap<Socket, number> = new WeakMap();

/** Until when both certificates of a dialled connection are valid, wall-clock milliseconds; Infinity for others. */
export function dialledUntil(socket: Socket): number {
  return validUntil.get(socket) ?? Number.POSITIVE_INFINITY;
}

/**
 * Resolves to a socket whose peer proved `identity`. Nothing was read from or written to it yet.
 * A TLS 1.3 server may still refuse our certificate afterwards, which shows as the connection's end.
 * @throws TlsDialError
 */
export function dialTls(options: DialOptions): Promise<TLSSocket> {
  const { identity, alpn, credentials, clock, timeoutMs } = options;
  const target = 'socket' in options ? identity : `${identity} at ${options.host}:${options.port}`;
  const own = credentials instanceof CredentialStore ? credentials.current : undefined;
  const source = credentials instanceof CredentialStore ? own : credentials;
  if (source === undefined) {
    return Promise.reject(new TlsDialError('no-credentials', `cannot dial ${target}: no certificate yet`));
  }
  return new Promise((resolve, reject) => {
    let verdict: ChainAccepted | ChainRefusal | undefined;
    const judge = (leaf: DetailedPeerCertificate): ChainAccepted | ChainRefusal => {
      const found = checkChain({
        chain: linkedChain(leaf, trustLimits.tls_chain_certificates.default),
        anchors: anchorsOf(source),
        now: clock.wall(),
        role: 'server',
        suffix: options.suffix,
      });
      if ('refused' in found || found.peer.name === identity) return found;
      return { refused: 'wrong-identity', detail: `the server is ${found.peer.name}` };
    };
    const fail = (error: TlsDialError): void => {
      timer.cancel();
      socket.destroy();
      reject(error);
    };
    const socket = connect({
      ...('socket' in options
        ? { socket: options.socket }
        : { host: options.host, port: options.port, noDelay: true }),
      servername: identity,
      secureContext: secureContextOf(source),
      rejectUnauthorized: true,
      // Called only after OpenSSL accepted the chain; replaces Node's own reading of names.
      checkServerIdentity: (_name, leaf) => {
        verdict = judge(leaf as DetailedPeerCertificate);
        return 'refused' in verdict ? new Error(verdict.detail) : undefined;
      },
      ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
    });
    const timer = clock.after(timeoutMs, () => {
      fail(new TlsDialError('timeout', `cannot dial ${target}: no TLS connection within ${timeoutMs} ms`));
    });
    const onError = (error: Error & { code?: string }): void => {
      if (verdict !== undefined && 'refused' in verdict) {
        fail(new TlsDialError(verdict.refused, `refused ${target}: ${verdict.detail}`));
        return;
      }
      const reason = socket.connecting || isConnectCode(error.code) ? 'connect-failed' : refusalOf(error);
      fail(new TlsDialError(reason, `cannot dial ${target}: ${describeFailure(error)}`, { cause: error }));
    };
    const onClose = (): void => {
      fail(new TlsDialError('closed-early', `cannot dial ${target}: the server closed the connection`));
    };
    socket.on('error', onError);
    socket.on('close', onClose);
    socket.once('secureConnect', () => {
      socket.off('error', onError);
      socket.off('close', onClose);
      if (!socket.authorized || verdict === undefined || 'refused' in verdict) {
        socket.on('error', () => {});
        fail(new TlsDialError('handshake-failed', `refused ${target}: its certificate was not verified`));
        return;
      }
      if (alpn.length > 0 && socket.alpnProtocol === false) {
        socket.on('error', () => {});
        fail(
          new TlsDialError('alpn-mismatch', `refused ${target}: the server chose none of ${alpn.join(', ')}`),
        );
        return;
      }
      timer.cancel();
      validUntil.set(socket, Math.min(verdict.notAfter, own?.notAfter ?? verdict.notAfter));
      resolve(socket);
    });
  });
}

function isConnectCode(code: string | undefined): boolean {
  return /^(?:ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EADDRNOTAVAIL|EMFILE)$/.test(
    code ?? '',
  );
}

/** Node's code, or OpenSSL's text where the code says nothing. */
function describeFailure({ code, message }: Error & { code?: string }): string {
  return code === undefined || code === 'UNSPECIFIED' ? message : code;
}
