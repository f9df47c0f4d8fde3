import type { MetricRegistry } from '@mesh/telemetry/metrics';
import type { IssuerSource } from './issuer-source.ts';

export interface IdentityMetrics {
  readonly issued: () => void;
  readonly refused: (reason: string) => void;
  readonly tlsRefused: (reason: string) => void;
}

/** Metrics of the identity service; the issuer's expiry is what an operator alerts on. */
export function identityMetrics(registry: MetricRegistry, source: IssuerSource): IdentityMetrics {
  const issued = registry.counter('mesh_identity_certificates_total', 'Certificates issued.').with();
  const refused = registry.counter('mesh_identity_refused_total', 'Refused certificate requests by reason.');
  const tlsRefused = registry.counter(
    'mesh_tls_refused_total',
    'Clients refused during the TLS handshake, by named reason.',
  );
  const expiry = registry
    .gauge(
      'mesh_identity_issuer_expiration_timestamp_seconds',
      'When the issuer ends, or what is above it, seconds since the epoch.',
    )
    .with();
  registry.onCollect(() => expiry.set((source.current?.notAfter ?? 0) / 1000));
  return {
    issued: () => issued.add(),
    refused: (reason) => refused.with({ reason }).add(),
    tlsRefused: (reason) => tlsRefused.with({ reason }).add(),
  };
}
