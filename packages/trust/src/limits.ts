import type { LimitSpec } from '@mesh/limits/limits';

/** Limits of TLS accept, dial and certificate checks. */
export const trustLimits = {
  tls_client_hello_bytes: {
    default: 16_384,
    unit: 'bytes',
    why: 'Bytes within which a ClientHello must be complete to be recognised.',
    uncounted:
      'The function that looks is pure. What is no hello by then is plain bytes: `mesh_detect_total` counts.',
  },
  tls_known_chains: {
    default: 256,
    unit: 'count',
    why: 'Chains whose signatures are not verified again: only what our own anchors signed gets in, so this is the number of workloads that come and go within the life of their certificates.',
    uncounted:
      'A cache: what expired is forgotten, and the oldest where that is not enough; it is verified again when it comes back.',
  },
  tls_handshake_ms: {
    default: 10_000,
    unit: 'ms',
    why: 'A client that stops in the middle of a handshake must not hold a socket.',
  },
  tls_handshakes: {
    default: 1024,
    unit: 'count',
    why: 'Handshakes in progress cost memory and processor time before the peer is known.',
  },
  tls_handshakes_per_turn: {
    default: 1,
    unit: 'count',
    why: 'Handshakes begun in one turn of the event loop, with two turns of everybody else behind it; each takes part of a millisecond. Where turns are long, one for each 10 ms; once somebody has waited for half a second, who came last is first.',
  },
  tls_trust_anchors: {
    default: 16,
    unit: 'count',
    why: 'Trust anchors that a bundle may hold; a rotation needs two at a time.',
    uncounted: 'A bundle with more is refused whole, with a log line; it comes from an administrator.',
  },
  tls_chain_certificates: {
    default: 6,
    unit: 'count',
    why: 'Path building looks at each certificate the peer sent.',
  },
  tls_judged_refusals: {
    default: 20,
    unit: 'count',
    why: 'Burst of refused clients whose certificates are gone through to say why, a tenth of it more each second: that takes a millisecond. Of the others the reason is what OpenSSL says; those for which it has no name, as for an issuer that signs for another cluster, have a burst of their own.',
  },
  tls_explained_refusals: {
    default: 100,
    unit: 'count',
    why: 'Refused clients of one port whose intermediates are all read, for a better reason in the log: Node leaks one of each (nodejs/node#65579); of later ones only those are read that lead on from the leaf.',
  },
} as const satisfies Record<string, LimitSpec>;

export type TrustLimit = keyof typeof trustLimits;

/** For `peekClientHello`, which is pure. */
export const maxClientHelloBytes: number = trustLimits.tls_client_hello_bytes.default;
