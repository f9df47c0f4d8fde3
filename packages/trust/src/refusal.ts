interface RefusalFacts {
  readonly meaning: string;
  readonly remedy: string;
}

/** The peer did not prove who it is, or is somebody else. */
export const identityRefusals = {
  'not-tls': {
    meaning: 'The bytes are no TLS.',
    remedy: 'Call the port with mesh TLS, through a proxy of the mesh.',
  },
  // the certificate chain
  'no-certificate': {
    meaning: 'The client shows no certificate.',
    remedy: 'Mesh the client: it speaks TLS to us but is no proxy of the mesh.',
  },
  'malformed-certificate': {
    meaning: 'The certificate or one above it cannot be parsed by the rules of RFC 5280.',
    remedy: 'See who issued it; our identity service issues none like it.',
  },
  'foreign-anchor': {
    meaning: 'The chain ends in an anchor that is not trusted here.',
    remedy:
      'Give both clusters the same trust anchors, or wait until a rotated one has reached all ([rotation](trust-rotation.md)).',
  },
  'bad-signature': {
    meaning: 'A signature of the chain does not verify.',
    remedy:
      'See what stands between the two: the chain was put together from parts that do not belong together.',
  },
  expired: {
    meaning: 'A certificate of the chain is past its end.',
    remedy:
      'See why the peer did not renew (`identity_cert_expiration_timestamp_seconds`), and compare clocks.',
  },
  'not-yet-valid': {
    meaning: 'A certificate of the chain is not valid yet.',
    remedy: 'Compare the clocks of the machines.',
  },
  'not-a-ca': {
    meaning: 'A certificate that signed another is no authority.',
    remedy: 'See who issued it; our identity service issues none like it.',
  },
  'ca-as-leaf': {
    meaning: 'An authority shows its own certificate as that of a workload.',
    remedy: 'Never mount the key of an issuer into a workload; see who has it.',
  },
  'path-too-long': {
    meaning: 'The chain is longer than an authority in it, or `tls_chain_certificates`, allows.',
    remedy: 'Issue workloads straight from the issuer of the cluster.',
  },
  'outside-name-constraints': {
    meaning: 'The name is outside of what the issuer may sign.',
    remedy: 'An issuer signs for another cluster than its own: see who has its key.',
  },
  'unknown-critical-extension': {
    meaning: 'A certificate has a critical extension that is not understood.',
    remedy: 'See who issued it; our identity service issues none like it.',
  },
  'weak-signature': {
    meaning: 'A signature uses an algorithm that is not accepted.',
    remedy: 'Sign with SHA-256 or better, by ECDSA, Ed25519 or RSA.',
  },
  'weak-key': {
    meaning: 'A key is of a kind or size that is not accepted.',
    remedy: 'Use an elliptic curve (P-256, P-384, P-521, Ed25519), or RSA of 2048 bits and more.',
  },
  'wrong-usage': {
    meaning: 'The certificate is not for the role in which it is shown.',
    remedy: 'See who issued it: a workload needs both client and server authentication.',
  },
  // the name
  'no-name': {
    meaning: 'The certificate has no DNS name.',
    remedy: 'See who issued it; our identity service issues none like it.',
  },
  'several-names': {
    meaning: 'The certificate has more than one name.',
    remedy: 'Issue one certificate per workload.',
  },
  'wrong-name-type': {
    meaning: 'The name is of another type than DNS, or only in the subject.',
    remedy: 'See who issued it; our identity service issues none like it.',
  },
  'wildcard-name': {
    meaning: 'The name has a wildcard.',
    remedy: 'Issue one certificate per workload.',
  },
  'malformed-name': {
    meaning: 'The name is no identity of a workload.',
    remedy: 'See who issued it; our identity service issues none like it.',
  },
  'unknown-domain': {
    meaning: 'The name is in a trust domain that is not served here.',
    remedy:
      'Give all clusters the same suffix of trust domains; where only the own cluster is served, call from within it.',
  },
  'wrong-identity': {
    meaning: 'The server proves another identity than the one that was dialled.',
    remedy: 'See what runs at the address. If addresses were just reused, it passes.',
  },
} as const satisfies Record<string, RefusalFacts>;

const handshakeRefusals = {
  'tls-version': {
    meaning: 'The peer speaks no TLS 1.3.',
    remedy: 'Call through a proxy of the mesh.',
  },
  'alpn-mismatch': {
    meaning: 'The peer offers or chose none of the protocols that are spoken here.',
    remedy: 'Call through a proxy of the mesh, of a version that fits.',
  },
  'no-credentials': {
    meaning: 'There is no certificate of our own yet.',
    remedy: 'See why the identity service issued none: `/ready` says why.',
  },
  'handshake-limit': {
    meaning: 'Too many handshakes are open (`tls_handshakes`).',
    remedy: 'See who opens them; raise the limit if they are honest.',
  },
  'handshake-timeout': {
    meaning: 'The handshake did not end in time.',
    remedy: 'Look for a path that loses packets, or a client that never meant to.',
  },
  'handshake-failed': {
    meaning: 'The handshake failed for another reason, which the log line has.',
    remedy: 'Read the log line.',
  },
  'closed-early': {
    meaning: 'The peer closed the connection during the handshake.',
    remedy: 'Look at the log of the peer: it refused us, or a probe of the port met TLS.',
  },
} as const satisfies Record<string, RefusalFacts>;

/** Why a TLS peer is refused. Used as a metric label, so the set is closed. */
export const refusalReasons = { ...identityRefusals, ...handshakeRefusals };

export type RefusalReason = keyof typeof refusalReasons;

/** What OpenSSL calls a failed verification (X509_V_ERR_*), for when only its verdict is known. */
const verifyCodes: Readonly<Record<string, RefusalReason>> = {
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not-yet-valid',
  CERT_SIGNATURE_FAILURE: 'bad-signature',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'foreign-anchor',
  SELF_SIGNED_CERT_IN_CHAIN: 'foreign-anchor',
  UNABLE_TO_GET_ISSUER_CERT: 'foreign-anchor',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'foreign-anchor',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'foreign-anchor',
  CERT_CHAIN_TOO_LONG: 'path-too-long',
  PATH_LENGTH_EXCEEDED: 'path-too-long',
  INVALID_CA: 'not-a-ca',
  INVALID_PURPOSE: 'wrong-usage',
  UNHANDLED_CRITICAL_EXTENSION: 'unknown-critical-extension',
};

/** Error codes of a handshake, from OpenSSL and from the socket. */
const handshakeCodes: Readonly<Record<string, RefusalReason>> = {
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: 'no-certificate',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'tls-version',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'tls-version',
  ERR_SSL_WRONG_VERSION_NUMBER: 'not-tls',
  ERR_SSL_HTTP_REQUEST: 'not-tls',
  ERR_SSL_HTTPS_PROXY_REQUEST: 'not-tls',
  ERR_SSL_UNKNOWN_PROTOCOL: 'not-tls',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'not-tls',
  ERR_SSL_BAD_RECORD_TYPE: 'not-tls',
  ERR_SSL_NO_APPLICATION_PROTOCOL: 'alpn-mismatch',
  ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: 'alpn-mismatch',
  ECONNRESET: 'closed-early',
  EPIPE: 'closed-early',
};

/** Verdicts that Node passes on as UNSPECIFIED, by OpenSSL's text. */
const verifyTexts: Readonly<Record<string, RefusalReason>> = {
  'permitted subtree violation': 'outside-name-constraints',
  'excluded subtree violation': 'outside-name-constraints',
  'unsupported name constraint type': 'outside-name-constraints',
};

/** Reason for an error of Node's TLS sockets; `handshake-failed` for those without a reason of their own. */
export function refusalOf({ code = '', message = '' }: { code?: string; message?: string }): RefusalReason {
  return verifyCodes[code] ?? handshakeCodes[code] ?? verifyTexts[message] ?? 'handshake-failed';
}
