import { duration, integer, oneOf, text } from '@mesh/config/environment';
import { logLevels } from '@mesh/telemetry/log';

/** Settings of the identity service. */
export const identityConfig = {
  MESH_LOG_LEVEL: oneOf(logLevels, { doc: 'Least severe log line that is written.', default: 'info' }),
  MESH_CLUSTER: text({
    doc: 'Name of this cluster.',
    pattern: /^[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?$/,
  }),
  MESH_TRUST_DOMAIN: text({
    doc: 'Trust domain of this cluster: its name, a dot and the suffix that all clusters share.',
  }),
  MESH_IDENTITY_PORT: integer({ doc: 'Port of the gRPC service.', default: 8080, min: 0, max: 65_535 }),
  MESH_TRUST_BUNDLE_PORT: integer({
    doc: 'Port of the trust bundle stream, for identities of this cluster.',
    default: 8081,
    min: 0,
    max: 65_535,
  }),
  MESH_ADMIN_PORT: integer({
    doc: 'Port of /ready, /live and /metrics.',
    default: 9990,
    min: 0,
    max: 65_535,
  }),
  MESH_ISSUER_DIR: text({
    doc: 'Directory with tls.crt, tls.key and ca.crt, mounted from Secret mesh-identity-issuer.',
    default: '/var/run/mesh/issuer',
  }),
  MESH_ISSUER_POLL: duration({
    doc: 'How often the issuer directory is looked at for a change.',
    default: '2s',
    min: '100ms',
    max: '10m',
  }),
  MESH_LEAF_LIFETIME: duration({
    doc: 'How long an issued certificate is valid.',
    default: '24h',
    min: '10s',
    max: '720h',
  }),
  MESH_TOKEN_REVIEW_TIMEOUT: duration({
    doc: 'How long the API server may take to review a token.',
    default: '5s',
    min: '100ms',
    max: '60s',
  }),
  MESH_POD_CERTIFICATES_PER_MINUTE: integer({
    doc: 'Certificates that one pod may get per minute.',
    default: 10,
    min: 1,
    max: 100_000,
  }),
  MESH_IDENTITY_CERTIFICATES_PER_MINUTE: integer({
    doc: 'Certificates that all pods of one ServiceAccount together may get per minute.',
    default: 600,
    min: 1,
    max: 1_000_000,
  }),
};
