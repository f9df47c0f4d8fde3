/** Is this issuer fit to sign for a cluster? Asked at install, at link, and whenever a mounted issuer changes. */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { describeName, type GeneralName } from '@mesh/trust/general-names';
import { type Certificate, isFault, parseCertificate } from '@mesh/trust/certificate';
import { parseAnchors, signerOf } from '@mesh/trust/chain';
import { permitsDnsName } from '@mesh/trust/name-constraints';
import { identityName, meshDomain, trustDomain } from '@mesh/trust/names';
import { certificateDers, fingerprint, fingerprintOf, toPem } from '@mesh/trust/pem';
import type { Authority } from './authority.ts';
import { issuerConstraints, issuerExtensions } from './issuer-constraints.ts';

export type IssuerFaultReason =
  | 'no-certificate'
  | 'no-anchor'
  | 'malformed-certificate'
  | 'unusable-key'
  | 'key-mismatch'
  | 'not-a-ca'
  | 'not-p256'
  | 'path-length'
  | 'unknown-critical'
  | 'foreign-anchor'
  | 'expired'
  | 'not-yet-valid'
  | 'not-constrained'
  | 'wrong-domain';

export interface IssuerFault {
  readonly fault: IssuerFaultReason;
  /** A sentence that names what was found. */
  readonly detail: string;
}

export interface IssuerPems {
  /** Issuer first, then certificates between it and the anchor. */
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly anchorsPem: string;
}

export interface LoadedIssuer extends Authority {
  /** PEM of the issuer and what lies between it and the anchor: what a leaf is sent with. */
  readonly chainPem: string;
  readonly chainDers: readonly Buffer[];
  readonly anchorsPem: string;
  /** When the first of it and of what is above it expires, wall-clock milliseconds: then nobody accepts what it signed. */
  readonly notAfter: number;
}

interface Context {
  readonly cluster: string;
  /** Wall-clock milliseconds. */
  readonly now: number;
  /** Suffix of trust domains. */
  readonly suffix?: string;
}

/** What its owner does about an issuer that is refused. */
export function issuerRemedy(fault: IssuerFaultReason, cluster: string, suffix?: string): string {
  switch (fault) {
    case 'no-certificate':
    case 'malformed-certificate':
      return 'Give the issuer as PEM, followed by the certificates between it and the anchor.';
    case 'no-anchor':
      return 'Give the PEM of the certificate that the issuer chains to.';
    case 'unusable-key':
      return 'Give the PEM of the private key, not encrypted: openssl pkcs8 -topk8 -nocrypt';
    case 'key-mismatch':
      return 'Give the key that the certificate was requested with.';
    case 'not-p256':
      return 'Make the key of the issuer with: openssl ecparam -name prime256v1 -genkey -noout';
    case 'foreign-anchor':
      return 'Give the anchor that signed it, and certificates in between after the issuer in its own file.';
    case 'expired':
    case 'not-yet-valid':
      return 'Have the CA sign it anew, and compare the clock of this machine.';
    case 'wrong-domain':
      return `Use the issuer that was made for cluster ${cluster}, or the --cluster it was made for.`;
    case 'not-a-ca':
    case 'path-length':
    case 'unknown-critical':
    case 'not-constrained':
      return `Have the CA sign it with: ${issuerExtensions(trustDomain(cluster, suffix))}`;
  }
}

const refuse = (fault: IssuerFaultReason, detail: string): IssuerFault => ({ fault, detail });

/** The issuer of `pems` when it may sign leaves of the cluster's trust domain, and of that domain only. */
export function verifyIssuer(pems: IssuerPems, context: Context): LoadedIssuer | IssuerFault {
  const chainDers = certificateDers(pems.certificatePem);
  const certificates: Certificate[] = [];
  for (const der of chainDers) {
    const parsed = parseCertificate(der);
    if (isFault(parsed)) return refuse('malformed-certificate', parsed.fault);
    certificates.push(parsed);
  }
  const [certificate] = certificates;
  if (certificate === undefined) return refuse('no-certificate', 'there is no certificate in the PEM text');
  const anchors = parseAnchors(pems.anchorsPem);
  if (anchors.length === 0) return refuse('no-anchor', 'there is no certificate among the trust anchors');
  const key = readKey(pems.keyPem);
  if (key === undefined) return refuse('unusable-key', 'the private key is no unencrypted PEM key');
  if (!createPublicKey(key).export({ type: 'spki', format: 'der' }).equals(certificate.spki)) {
    return refuse('key-mismatch', 'the private key does not belong to the issuer certificate');
  }
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    return refuse('not-p256', 'the issuer key is not a P-256 key');
  }
  const fault = checkAuthority(certificate, context) ?? checkDomain(certificate, context);
  if (fault !== undefined) return fault;
  const path = checkPath(certificates, anchors, context);
  if ('fault' in path) return path;
  return {
    key,
    certificate,
    certificatePem: toPem(certificate.der),
    chainPem: chainDers.map(toPem).join(''),
    chainDers,
    anchorsPem: pems.anchorsPem,
    notAfter: path.notAfter,
  };
}

function readKey(pem: string): ReturnType<typeof createPrivateKey> | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}

function checkAuthority(certificate: Certificate, { now }: Context): IssuerFault | undefined {
  if (certificate.basicConstraints?.ca !== true || certificate.keyUsage?.keyCertSign === false) {
    return refuse('not-a-ca', 'the issuer certificate may not sign certificates');
  }
  const { pathLength } = certificate.basicConstraints;
  if (pathLength !== 0) {
    return refuse(
      'path-length',
      `the issuer has ${pathLength === undefined ? 'no path length' : `path length ${pathLength}`}, it must be 0`,
    );
  }
  const [unknown] = certificate.unknownCritical;
  if (unknown !== undefined) {
    return refuse(
      'unknown-critical',
      `the issuer has the critical extension ${unknown}, which is not known here`,
    );
  }
  return checkPeriod(certificate, now, 'the issuer certificate');
}

function checkPeriod(certificate: Certificate, now: number, what: string): IssuerFault | undefined {
  if (now > certificate.notAfter) {
    return refuse('expired', `${what} expired at ${new Date(certificate.notAfter).toISOString()}`);
  }
  if (now < certificate.notBefore) {
    return refuse('not-yet-valid', `${what} starts at ${new Date(certificate.notBefore).toISOString()}`);
  }
  return undefined;
}

/** The constraints must let this cluster's identities through and be there for the sake of all the others. */
function checkDomain(certificate: Certificate, { cluster, suffix }: Context): IssuerFault | undefined {
  const domain = trustDomain(cluster, suffix);
  const constraints = certificate.nameConstraints;
  const bases = constraints?.permitted.filter(({ form }) => form === 'dns') ?? [];
  if (constraints?.critical !== true || bases.length === 0) {
    return refuse(
      'not-constrained',
      `the issuer has no critical name constraints; it must permit ${domain} only`,
    );
  }
  const sample = identityName({
    serviceAccount: 'default',
    namespace: 'default',
    cluster,
    suffix: suffix ?? meshDomain,
  });
  const found = bases.map(({ value }) => value.toString('latin1')).join(', ');
  if (!permitsDnsName(constraints, sample)) {
    return refuse('wrong-domain', `the issuer signs for ${found}, this cluster is ${domain}`);
  }
  for (const wanted of issuerConstraints(domain)) {
    const given = constraints.permitted.filter(({ form }) => form === wanted.form);
    if (given.length > 0 && given.every(({ value }) => sameBase(value, wanted))) continue;
    const names = given.length === 0 ? 'any' : given.map(describeName).join(', ');
    return refuse(
      'not-constrained',
      `the issuer signs for ${names} ${wanted.form} name; it must permit ${describeName(wanted)} only`,
    );
  }
  return undefined;
}

/** OpenSSL writes a leading dot as "subdomains only", which no identity tells from the domain. */
function sameBase(value: Buffer, { form, value: wanted }: GeneralName): boolean {
  if (form === 'ip') return value.equals(wanted);
  return value.toString('latin1').toLowerCase().replace(/^\./, '') === wanted.toString('latin1');
}

function checkPath(
  [issuer, ...between]: readonly Certificate[],
  anchors: readonly Certificate[],
  { now }: Context,
): IssuerFault | Pick<LoadedIssuer, 'notAfter'> {
  let current = issuer;
  let authorities = 1;
  let notAfter = Number.POSITIVE_INFINITY;
  const unused = new Set(between);
  while (current !== undefined) {
    const child: Certificate = current;
    notAfter = Math.min(notAfter, child.notAfter);
    const signer = signerOf(child, { anchors, others: unused, now });
    if (signer === undefined) {
      const known = anchors.map(({ der }) => fingerprintOf(der)).join(' ');
      return refuse(
        'foreign-anchor',
        `the issuer ${fingerprint(toPem(child.der)) ?? ''} is not signed by an anchor; anchors: ${known}`,
      );
    }
    const fault = checkPeriod(signer, now, 'the certificate above the issuer');
    if (fault !== undefined) return fault;
    if (signer.basicConstraints?.ca !== true)
      return refuse('not-a-ca', 'the signer of the issuer is no authority');
    if ((signer.basicConstraints.pathLength ?? authorities) < authorities) {
      return refuse('path-length', 'a certificate above the issuer allows no authority so far below it');
    }
    authorities++;
    if (anchors.includes(signer)) return { notAfter: Math.min(notAfter, signer.notAfter) };
    unused.delete(signer);
    current = signer;
  }
  return { notAfter };
}
