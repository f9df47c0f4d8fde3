/** The identity service's own certificate, which it signs for itself and renews. */
import type { Clock, Timer } from '@mesh/clock/clock';
import { beforeDate } from '@mesh/clock/date-timer';
import { issueCredentials } from '@mesh/ca/credentials';
import type { LoadedIssuer } from '@mesh/ca/issuer-check';
import type { CredentialStore } from '@mesh/trust/credentials';
import type { IssuerSource } from './issuer-source.ts';

/** Share of the lifetime after which the certificate is renewed. */
const renewAt = 0.7;
const retryMs = 1000;

export interface OwnCertificateOptions {
  source: IssuerSource;
  store: CredentialStore;
  identity: string;
  clock: Clock;
  lifetimeMs: number;
}

/** Keeps `store` filled from now on; the returned function ends that. */
export function keepOwnCertificate({
  source,
  store,
  identity,
  clock,
  lifetimeMs,
}: OwnCertificateOptions): () => void {
  let timer: Timer | undefined;
  const issue = (issuer: LoadedIssuer | undefined): void => {
    timer?.cancel();
    let waitMs = retryMs;
    if (issuer !== undefined) {
      const credentials = issueCredentials({
        issuer,
        anchorsPem: issuer.anchorsPem,
        identity,
        clock,
        lifetimeMs,
      });
      store.update(credentials);
      waitMs = Math.max(retryMs, (credentials.notAfter - clock.wall()) * renewAt);
    }
    timer = beforeDate(clock, waitMs, () => issue(source.current));
  };
  source.onChange(issue);
  issue(source.current);
  return () => timer?.cancel();
}
