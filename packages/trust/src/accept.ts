/**
 * The one place where the mesh accepts TLS.
 *
 * A socket, fresh or with bytes put back by `unshift` after a peek, is handed to a `tls.Server` that never listens.
 * (A `TLSSocket` constructed by hand with `isServer` does not enforce client certificates: it accepted a foreign
 * client and delivered its data.) A peer is accepted only when OpenSSL's verdict and our own chain check both say so;
 * until then nothing is read, so a refused client's bytes reach nobody.
 */
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls';
import type { Clock, Timer } from '@mesh/clock/clock';
import { LimitLedger } from '@mesh/limits/limits';
import { TokenBucket } from '@mesh/limits/token-bucket';
import { type SharedTask, TurnShare } from '@mesh/sockets/turn-share';
import { type ChainAccepted, type ChainRefusal, checkChain, checkVerifiedLeaf } from './chain.ts';
import { anchorsOf, type Credentials, type CredentialStore, secureContextOptions } from './credentials.ts';
import { guardPeerCertificates, handshakeContext } from './handshake-context.ts';
import { type TrustLimit, trustLimits } from './limits.ts';
import type { PeerIdentity } from './names.ts';
import { linkedChain, peerLeaf, wholeClientChain } from './peer-chain.ts';
import { refusalOf, type RefusalReason } from './refusal.ts';

/** `none` is for the bootstrap port of the identity service alone, whose clients have no certificate yet. */
export type ClientCertificate = 'required' | 'none';

export interface TlsAcceptorOptions<Mode extends ClientCertificate = 'required'> {
  credentials: CredentialStore;
  clock: Clock;
  /** Protocols on offer, best first. A client that offers only others is refused; one that offers none is not. */
  alpn: readonly string[];
  /** Default `required`. */
  clientCertificate?: Mode;
  /** Trust domains beyond the shared anchor: false refuses a peer of that cluster. Default: all clusters. */
  acceptsCluster?: (cluster: string) => boolean;
  /** Suffix of trust domains. */
  suffix?: string;
  limits?: LimitLedger<TrustLimit>;
}

export interface AcceptedPeer<Mode extends ClientCertificate = 'required'> {
  readonly socket: TLSSocket;
  readonly peer: Mode extends 'required' ? PeerIdentity : undefined;
  /** Negotiated protocol; undefined when the client offered none. */
  readonly alpn: string | undefined;
  /** Until when the peer's certificates are valid, wall-clock milliseconds; Infinity without a certificate. */
  readonly notAfter: number;
}

export interface RefusedPeer {
  readonly refused: RefusalReason;
  /** What was found, for logs. */
  readonly detail: string;
}

export type AcceptResult<Mode extends ClientCertificate = 'required'> = AcceptedPeer<Mode> | RefusedPeer;

interface Handshake<Mode extends ClientCertificate> {
  readonly raw: Socket;
  readonly source: Credentials;
  /** Whether the owner wants each direction to end by itself. */
  readonly halfOpen: boolean;
  timer: Timer | undefined;
  /** While it waits for one: the connection keeps this record as long as it lives. */
  turn: SharedTask | undefined;
  done: ((result: AcceptResult<Mode>) => void) | undefined;
}

/** Turns of the event loop behind one in which a handshake began: a request of somebody else needs some, from socket to socket. */
const turnsBetween = 2;

/** Where turns are long: who dials gives up after a second, and tries again. */
const leastEveryMs = 10;

const ignore = (): void => {};

export class TlsAcceptor<Mode extends ClientCertificate = 'required'> {
  readonly #options: TlsAcceptorOptions<Mode>;
  readonly #limits: LimitLedger<TrustLimit>;
  readonly #required: boolean;
  readonly #server: Server;
  readonly #open: Set<Handshake<Mode>> = new Set();
  readonly #turns: TurnShare;
  /** For those that OpenSSL refuses by name. */
  readonly #judged: TokenBucket;
  /** For the others. */
  readonly #judgedUnnamed: TokenBucket;
  /** Refused clients whose whole chain was read. */
  #explained = 0;
  readonly #unsubscribe: () => void;

  constructor(options: TlsAcceptorOptions<Mode>) {
    this.#options = options;
    this.#limits = options.limits ?? new LimitLedger(trustLimits);
    this.#required = options.clientCertificate !== 'none';
    this.#turns = new TurnShare(this.#limits.values.tls_handshakes_per_turn, turnsBetween, {
      everyMs: leastEveryMs,
      now: () => options.clock.now(),
    });
    const judged = (): TokenBucket =>
      new TokenBucket(this.#limits.values.tls_judged_refusals, options.clock.now());
    this.#judged = judged();
    this.#judgedUnnamed = judged();
    const { current } = options.credentials;
    this.#server = createServer({
      ...(current === undefined ? {} : contextOptions(current)),
      requestCert: this.#required,
      // Node would destroy the socket of an unverified peer before anyone could tell why. OpenSSL's verdict is
      // required in #onSecure instead, in one condition with our own.
      rejectUnauthorized: false,
      ...(options.alpn.length === 0 ? {} : { ALPNProtocols: [...options.alpn] }),
    });
    this.#server.on('secureConnection', (socket) => this.#onSecure(socket));
    this.#server.on('tlsClientError', (error) => this.#onError(error));
    this.#unsubscribe = options.credentials.onChange((credentials) => {
      this.#server.setSecureContext(contextOptions(credentials));
    });
  }

  /** Handshakes that have neither succeeded nor failed yet. */
  get pending(): number {
    return this.#open.size;
  }

  /**
   * Takes over `socket` and calls `done` exactly once. On refusal the socket is destroyed. The caller must not have
   * a `data` or `readable` listener left on it.
   */
  accept(socket: Socket, done: (result: AcceptResult<Mode>) => void): void {
    const source = this.#options.credentials.current;
    const handshake: Handshake<Mode> = {
      raw: socket,
      source: source as Credentials,
      halfOpen: socket.allowHalfOpen,
      timer: undefined,
      turn: undefined,
      done,
    };
    socket.on('error', ignore);
    // A client that ends its half in the middle of a handshake can never finish it.
    socket.allowHalfOpen = false;
    this.#open.add(handshake);
    if (source === undefined) {
      this.#refuse(handshake, 'no-credentials', 'this program has no certificate yet');
      return;
    }
    if (this.#open.size > this.#limits.values.tls_handshakes) {
      this.#limits.hit('tls_handshakes');
      // A peer that means it is done within milliseconds; who has been here longest is who holds the others up.
      const [oldest = handshake] = this.#open;
      this.#refuse(oldest, 'handshake-limit', `${this.#open.size - 1} handshakes are in progress`);
      if (oldest === handshake) return;
    }
    if (socket.destroyed) {
      this.#refuse(handshake, 'closed-early', 'the socket was closed before the handshake');
      return;
    }
    const limitMs = this.#limits.values.tls_handshake_ms;
    handshake.timer = this.#options.clock.after(
      limitMs,
      () => {
        this.#limits.hit('tls_handshake_ms');
        this.#refuse(handshake, 'handshake-timeout', `the handshake did not end within ${limitMs} ms`);
      },
      true,
    );
    socket.once('close', () => {
      this.#refuse(handshake, 'closed-early', 'the connection ended during the handshake');
    });
    handshake.turn = {
      onTurn: () => this.#begin(handshake),
      onPutOff: () => this.#limits.hit('tls_handshakes_per_turn'),
    };
    this.#turns.take(handshake.turn);
  }

  /** Ends handshakes in progress and forgets the credentials. Accepted connections stay. */
  close(): void {
    this.#unsubscribe();
    for (const handshake of this.#open) {
      this.#refuse(handshake, 'closed-early', 'this program is shutting down');
    }
  }

  #begin(handshake: Handshake<Mode>): void {
    handshake.turn = undefined;
    // It is new only now: else whoever waited longest for a turn would be the next to make room, before the peer can answer.
    this.#open.delete(handshake);
    this.#open.add(handshake);
    handshakeContext.run(handshake, () => this.#server.emit('connection', handshake.raw));
  }

  #onSecure(socket: TLSSocket): void {
    guardPeerCertificates(socket);
    const handshake = handshakeOf<Mode>();
    if (handshake?.done === undefined) {
      socket.destroy();
      return;
    }
    if (!this.#required) {
      this.#accepted(handshake, socket, undefined, Number.POSITIVE_INFINITY);
      return;
    }
    const verdict = this.#judge(handshake, socket);
    if (socket.authorized && 'peer' in verdict) {
      this.#accepted(handshake, socket, verdict.peer, verdict.notAfter);
      return;
    }
    if ('refused' in verdict) {
      this.#refuse(handshake, verdict.refused, verdict.detail);
    } else {
      const code = String(socket.authorizationError);
      this.#refuse(
        handshake,
        refusalOf({ code }),
        `OpenSSL refused the certificate of ${verdict.peer.name}: ${code}`,
      );
    }
  }

  #judge({ source }: Handshake<Mode>, socket: TLSSocket): ChainAccepted | ChainRefusal {
    const { clock, suffix, acceptsCluster } = this.#options;
    const common = { now: clock.wall(), role: 'client', suffix } as const;
    const leaf = peerLeaf(socket);
    if (leaf !== undefined && !socket.authorized) {
      const code = String(socket.authorizationError);
      const refused = refusalOf({ code });
      // An issuer that signs for another cluster has no code of its own: a flood of what has one must not keep that from being seen.
      const judged = refused === 'handshake-failed' ? this.#judgedUnnamed : this.#judged;
      if (!judged.take(clock.now())) {
        this.#limits.hit('tls_judged_refusals');
        return { refused, detail: `OpenSSL refused the certificate: ${code}` };
      }
    }
    const verdict =
      leaf === undefined || !socket.authorized
        ? checkChain({
            ...common,
            chain: leaf === undefined ? [] : this.#unverifiedChain(socket),
            anchors: anchorsOf(source),
            maxCertificates: this.#limits.values.tls_chain_certificates,
          })
        : checkVerifiedLeaf({ ...common, leaf });
    if ('peer' in verdict && acceptsCluster?.(verdict.peer.cluster) === false) {
      return { refused: 'unknown-domain', detail: `cluster ${verdict.peer.cluster} is not allowed here` };
    }
    return verdict;
  }

  /** What a client sent that OpenSSL refuses: only to say why, and no more often than Node's leak allows. */
  #unverifiedChain(socket: TLSSocket): Buffer[] {
    const { tls_chain_certificates: most, tls_explained_refusals: explained } = this.#limits.values;
    let chain: Buffer[];
    if (this.#explained < explained) {
      this.#explained++;
      chain = wholeClientChain(socket, most);
    } else {
      this.#limits.hit('tls_explained_refusals');
      chain = linkedChain(socket.getPeerCertificate(true), most);
    }
    if (chain.length > most) this.#limits.hit('tls_chain_certificates');
    return chain;
  }

  #onError(error: Error & { code?: string }): void {
    const handshake = handshakeOf<Mode>();
    if (handshake === undefined) return;
    this.#refuse(handshake, refusalOf(error), `the handshake failed: ${error.code ?? 'unknown error'}`);
  }

  #accepted(
    handshake: Handshake<Mode>,
    socket: TLSSocket,
    peer: PeerIdentity | undefined,
    notAfter: number,
  ): void {
    const { alpnProtocol } = socket;
    handshake.raw.allowHalfOpen = handshake.halfOpen;
    socket.allowHalfOpen = handshake.halfOpen;
    this.#settle(handshake, {
      socket,
      peer: peer as AcceptedPeer<Mode>['peer'],
      alpn: typeof alpnProtocol === 'string' ? alpnProtocol : undefined,
      notAfter,
    });
  }

  #refuse(handshake: Handshake<Mode>, refused: RefusalReason, detail: string): void {
    if (handshake.done === undefined) return;
    handshake.raw.destroy();
    this.#settle(handshake, { refused, detail });
  }

  #settle(handshake: Handshake<Mode>, result: AcceptResult<Mode>): void {
    const { done } = handshake;
    handshake.done = undefined;
    handshake.timer?.cancel();
    if (handshake.turn !== undefined) this.#turns.withdraw(handshake.turn);
    this.#open.delete(handshake);
    // What the owner starts from here must not keep this handshake alive.
    handshakeContext.exit(() => done?.(result));
  }
}

/** The handshake that the server's event is about. */
function handshakeOf<Mode extends ClientCertificate>(): Handshake<Mode> | undefined {
  return handshakeContext.getStore() as Handshake<Mode> | undefined;
}

/** No session tickets: a resumed session would skip the check against today's anchors and expiry. */
function contextOptions(credentials: Credentials): TlsOptions {
  return { ...secureContextOptions(credentials), secureOptions: constants.SSL_OP_NO_TICKET };
}
