/**
 * May this set of trust anchors replace the ones in use?
 *
 * It comes from the identity service over TLS that the anchors in use have verified, so its sender is who we trust
 * already. What is refused is what would cut us off: a set that is broken, or under which our own certificate would be
 * refused by everybody who follows it.
 */
import { parseCertificate, isFault } from './certificate.ts';
import { checkChain, parseAnchors } from './chain.ts';
import type { Credentials } from './credentials.ts';
import { trustLimits } from './limits.ts';
import { certificateDers, fingerprintOf, splitPem } from './pem.ts';

export type BundleVerdict =
  | { readonly kind: 'accepted' }
  /** Good, but our certificate is of an anchor that it lacks: to be judged again after a renewal. */
  | { readonly kind: 'needs-renewal'; readonly detail: string }
  | { readonly kind: 'refused'; readonly detail: string };

export function judgeBundle(
  anchorsPem: string,
  { current, now, suffix }: { current: Pick<Credentials, 'chainPem'>; now: number; suffix?: string },
): BundleVerdict {
  const ders = certificateDers(anchorsPem);
  if (ders.length === 0) return { kind: 'refused', detail: 'it holds no certificate' };
  const most = trustLimits.tls_trust_anchors.default;
  if (ders.length > most) {
    return { kind: 'refused', detail: `it holds ${ders.length} certificates, at most ${most} are taken` };
  }
  for (const der of ders) {
    const parsed = parseCertificate(der);
    const fault = isFault(parsed)
      ? parsed.fault
      : parsed.basicConstraints?.ca === true
        ? undefined
        : 'it is no certificate authority';
    if (fault !== undefined) return { kind: 'refused', detail: `${fingerprintOf(der)}: ${fault}` };
  }
  const own = checkChain({
    chain: certificateDers(current.chainPem),
    anchors: parseAnchors(anchorsPem),
    now,
    role: 'server',
    suffix,
  });
  if ('refused' in own) return { kind: 'needs-renewal', detail: own.detail };
  return { kind: 'accepted' };
}

/** Both sets as one, each certificate once. */
export function joinAnchors(one: string, other: string): string {
  return [...new Set([...splitPem(one), ...splitPem(other)])].join('');
}

/** Whether both sets hold the same certificates. */
export function sameAnchors(one: string, other: string): boolean {
  const texts = (pem: string): string => splitPem(pem).sort().join('');
  return texts(one) === texts(other);
}
