/** Why a TLS peer was refused. Used as a metric label, so the set is closed. */
export type RefusalReason =
  // the certificate chain
  | 'no-certificate'
  | 'malformed-certificate'
  | 'foreign-anchor'
  | 'bad-signature'
  | 'expired'
  | 'not-yet-valid'
  | 'not-a-ca'
  | 'ca-as-leaf'
  | 'path-too-long'
  | 'outside-name-constraints'
  | 'unknown-critical-extension'
  | 'weak-signature'
  | 'weak-key'
  | 'wrong-usage'
  // the name
  | 'no-name'
  | 'several-names'
  | 'wrong-name-type'
  | 'wildcard-name'
  | 'malformed-name'
  | 'unknown-domain'
  | 'wrong-identity'
  // the handshake
  | 'not-tls'
  | 'tls-version'
  | 'alpn-mismatch'
  | 'no-credentials'
  | 'handshake-limit'
  | 'handshake-timeout'
  | 'handshake-failed'
  | 'closed-early';

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
