/**
 * The mesh's own certificate check, with a named reason for every refusal.
 *
 * It runs beside OpenSSL's, which must agree: OpenSSL alone accepts URI-only, IP-only and SAN-less leaves below a DNS
 * constraint, and says little about why it refuses. A peer's identity is the only SAN of its leaf: one DNS name, no
 * wildcard (docs/decisions/0004).
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { type Certificate, isFault, parseCertificate } from './certificate.ts';
import { describeName } from './general-names.ts';
import { KnownChains } from './known-chains.ts';
import { trustLimits } from './limits.ts';
import { permitsDnsName } from './name-constraints.ts';
import { isDnsName, parseIdentity, type PeerIdentity } from './names.ts';
import { oids } from './oids.ts';
import { certificateDers } from './pem.ts';
import type { RefusalReason } from './refusal.ts';

export interface ChainRefusal {
  readonly refused: RefusalReason;
  /** What was found, for logs; never key material. */
  readonly detail: string;
}

export interface ChainAccepted {
  readonly peer: PeerIdentity;
  /** Earliest expiry in the path, wall-clock milliseconds. */
  readonly notAfter: number;
}

export interface ChainCheck {
  /** DER of the peer's certificates, leaf first, the rest in any order. */
  readonly chain: readonly Buffer[];
  readonly anchors: readonly Certificate[];
  /** Wall-clock milliseconds. */
  readonly now: number;
  /** What the peer is in this connection. */
  readonly role: 'client' | 'server';
  /** Suffix of trust domains. */
  readonly suffix?: string | undefined;
  readonly maxCertificates?: number;
}

interface SignatureScheme {
  /** Type of key that makes such signatures. */
  readonly key: 'ec' | 'rsa' | 'ed25519';
  /** Null: part of the scheme. */
  readonly digest: string | null;
}

/** Signature algorithms that are accepted, by OID: none with SHA-1 or MD5. */
const schemes: Readonly<Record<string, SignatureScheme>> = {
  [oids.ecdsaWithSha256]: { key: 'ec', digest: 'sha256' },
  '1.2.840.10045.4.3.3': { key: 'ec', digest: 'sha384' },
  '1.2.840.10045.4.3.4': { key: 'ec', digest: 'sha512' },
  '1.2.840.113549.1.1.11': { key: 'rsa', digest: 'sha256' },
  '1.2.840.113549.1.1.12': { key: 'rsa', digest: 'sha384' },
  '1.2.840.113549.1.1.13': { key: 'rsa', digest: 'sha512' },
  '1.3.101.112': { key: 'ed25519', digest: null },
};

const refuse = (refused: RefusalReason, detail: string): ChainRefusal => ({ refused, detail });

/** Certificates of a PEM bundle; blocks that are no certificates are left out. */
export function parseAnchors(pem: string): Certificate[] {
  const anchors: Certificate[] = [];
  for (const der of certificateDers(pem)) {
    const parsed = parseCertificate(der);
    if (!isFault(parsed)) anchors.push(parsed);
  }
  return anchors;
}

export function checkChain(check: ChainCheck): ChainAccepted | ChainRefusal {
  const { chain, maxCertificates = trustLimits.tls_chain_certificates.default } = check;
  if (chain.length === 0) return refuse('no-certificate', 'the peer sent no certificate');
  if (chain.length > maxCertificates) {
    return refuse(
      'path-too-long',
      `the peer sent ${chain.length} certificates, at most ${maxCertificates} are read`,
    );
  }
  const path = verifiedPaths(check.anchors).pathOf(chain, check.now, () => verifiedPath(chain, check));
  if ('refused' in path) return path;
  const [leaf] = path;
  if (leaf === undefined) return refuse('no-certificate', 'the peer sent no certificate');
  return checkPath(path, check.now) ?? checkLeaf(leaf, check.role) ?? identify(leaf, path, check.suffix);
}

/** Of each set of anchors, by the array itself: another set proves other chains. */
const pathsOfAnchors: WeakMap<readonly Certificate[], KnownChains> = new WeakMap();

function verifiedPaths(anchors: readonly Certificate[]): KnownChains {
  let known = pathsOfAnchors.get(anchors);
  if (known === undefined) {
    known = new KnownChains();
    pathsOfAnchors.set(anchors, known);
  }
  return known;
}

/** Reads the certificates and builds a path of signatures to an anchor. */
function verifiedPath(
  chain: readonly Buffer[],
  { anchors, now }: Pick<ChainCheck, 'anchors' | 'now'>,
): readonly Certificate[] | ChainRefusal {
  const certificates: Certificate[] = [];
  for (const der of chain) {
    const parsed = parseCertificate(der);
    if (isFault(parsed)) return refuse('malformed-certificate', parsed.fault);
    certificates.push(parsed);
  }
  const [leaf, ...intermediates] = certificates;
  if (leaf === undefined) return refuse('no-certificate', 'the peer sent no certificate');
  return buildPath(leaf, intermediates, { anchors, now });
}

/** Leaves that can be read and have strong keys; who signed them is another matter. */
const strongLeaves = new KnownChains();

/**
 * The part of the check that needs the leaf alone, for a chain that OpenSSL has verified up to our anchors and whose
 * intermediates Node no longer shows.
 */
export function checkVerifiedLeaf({
  leaf: bytes,
  now,
  role,
  suffix,
}: Pick<ChainCheck, 'now' | 'role' | 'suffix'> & { readonly leaf: Buffer }): ChainAccepted | ChainRefusal {
  const path = strongLeaves.pathOf([bytes], now, () => {
    const parsed = parseCertificate(bytes);
    if (isFault(parsed)) return refuse('malformed-certificate', parsed.fault);
    return weakness(parsed) ?? [parsed];
  });
  if ('refused' in path) return path;
  const [leaf] = path;
  if (leaf === undefined) return refuse('no-certificate', 'the peer sent no certificate');
  return checkPath(path, now) ?? checkLeaf(leaf, role) ?? identify(leaf, path, suffix);
}

/** From the leaf to an anchor; the anchor is last. */
function buildPath(
  leaf: Certificate,
  intermediates: readonly Certificate[],
  { anchors, now }: Pick<ChainCheck, 'anchors' | 'now'>,
): Certificate[] | ChainRefusal {
  const path = [leaf];
  const unused = new Set(intermediates);
  let current = leaf;
  let forged = false;
  for (;;) {
    const fault = weakness(current);
    if (fault !== undefined) return fault;
    const issuer = signerOf(current, { anchors, others: unused, now });
    forged ||=
      issuer === undefined && [...anchors, ...unused].some(({ subject }) => subject.equals(current.issuer));
    if (issuer === undefined) {
      return forged
        ? refuse('bad-signature', `the signature of ${describe(current)} is not its issuer's`)
        : refuse(
            'foreign-anchor',
            `${describe(current)} was issued by ${distinguishedName(current.issuer)}, not under our anchors`,
          );
    }
    path.push(issuer);
    if (anchors.includes(issuer)) return path;
    unused.delete(issuer);
    current = issuer;
  }
}

function weakness(certificate: Certificate): ChainRefusal | undefined {
  if (!(certificate.signatureAlgorithm in schemes)) {
    return refuse('weak-signature', `signature algorithm ${certificate.signatureAlgorithm} is not accepted`);
  }
  const key = publicKeyOf(certificate);
  const details = key?.asymmetricKeyDetails;
  const strong =
    (key?.asymmetricKeyType === 'ec' &&
      /^(?:prime256v1|secp384r1|secp521r1)$/.test(details?.namedCurve ?? '')) ||
    key?.asymmetricKeyType === 'ed25519' ||
    (key?.asymmetricKeyType === 'rsa' && (details?.modulusLength ?? 0) >= 2048);
  return strong
    ? undefined
    : refuse('weak-key', `the public key of ${describe(certificate)} is not accepted`);
}

/** Of issuers: each is asked for by what it signed and by the check of itself, an anchor by every chain. */
const issuerKeys: WeakMap<Certificate, KeyObject> = new WeakMap();

function issuerKeyOf(issuer: Certificate): KeyObject | undefined {
  const key = publicKeyOf(issuer);
  if (key !== undefined) issuerKeys.set(issuer, key);
  return key;
}

function publicKeyOf(certificate: Certificate): KeyObject | undefined {
  const known = issuerKeys.get(certificate);
  if (known !== undefined) return known;
  try {
    return createPublicKey({ key: certificate.spki, format: 'der', type: 'spki' });
  } catch {
    return undefined;
  }
}

/**
 * Which of `anchors` or `others` signed `certificate`. A key may have several certificates, as an anchor has that was issued anew before
 * its end: then one that is valid at `now` (wall-clock milliseconds), an anchor rather than another, and the one that lasts longest.
 */
export function signerOf(
  certificate: Certificate,
  { anchors, others, now }: Pick<ChainCheck, 'anchors' | 'now'> & { readonly others: Iterable<Certificate> },
): Certificate | undefined {
  const isValid = ({ notBefore, notAfter }: Certificate): boolean => now >= notBefore && now <= notAfter;
  const rank = (one: Certificate): number => (isValid(one) ? 2 : 0) + (anchors.includes(one) ? 1 : 0);
  return [...anchors, ...others]
    .filter(({ subject }) => subject.equals(certificate.issuer))
    .sort((one, other) => rank(other) - rank(one) || other.notAfter - one.notAfter)
    .find((candidate) => isSignedBy(certificate, candidate));
}

/** True when `issuer`'s key made the signature of `certificate`, whatever else either says. */
function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  const key = issuerKeyOf(issuer);
  const scheme = schemes[certificate.signatureAlgorithm];
  // What the certificate says of its signature must be what was checked.
  if (key === undefined || scheme === undefined || scheme.key !== key.asymmetricKeyType) return false;
  try {
    return verify(scheme.digest, certificate.tbs, key, certificate.signature);
  } catch {
    return false;
  }
}

function checkPath(path: readonly Certificate[], now: number): ChainRefusal | undefined {
  for (const [depth, certificate] of path.entries()) {
    const isLeaf = depth === 0;
    if (now > certificate.notAfter) {
      return refuse(
        'expired',
        `${describe(certificate)} expired at ${new Date(certificate.notAfter).toISOString()}`,
      );
    }
    if (now < certificate.notBefore) {
      return refuse(
        'not-yet-valid',
        `${describe(certificate)} starts at ${new Date(certificate.notBefore).toISOString()}`,
      );
    }
    if (certificate.unknownCritical.length > 0) {
      return refuse(
        'unknown-critical-extension',
        `${describe(certificate)}: ${certificate.unknownCritical.join(' ')}`,
      );
    }
    if (isLeaf) continue;
    if (certificate.basicConstraints?.ca !== true || certificate.keyUsage?.keyCertSign === false) {
      return refuse('not-a-ca', `${describe(certificate)} may not sign certificates`);
    }
    const limit = certificate.basicConstraints.pathLength;
    if (limit !== undefined && depth - 1 > limit) {
      return refuse(
        'path-too-long',
        `${describe(certificate)} allows ${limit} authorities below it, found ${depth - 1}`,
      );
    }
  }
  return undefined;
}

function checkLeaf(leaf: Certificate, role: 'client' | 'server'): ChainRefusal | undefined {
  if (leaf.basicConstraints?.ca === true || leaf.keyUsage?.keyCertSign === true) {
    return refuse('ca-as-leaf', 'the leaf is an authority');
  }
  const wanted = role === 'client' ? oids.clientAuth : oids.serverAuth;
  if (leaf.keyUsage?.digitalSignature === false || leaf.extendedKeyUsage?.includes(wanted) !== true) {
    return refuse('wrong-usage', `the leaf is not for a TLS ${role}`);
  }
  return undefined;
}

function identify(
  leaf: Certificate,
  path: readonly Certificate[],
  suffix: string | undefined,
): ChainAccepted | ChainRefusal {
  const names = leaf.subjectAltName ?? [];
  const [only] = names;
  if (only === undefined) return refuse('no-name', 'the leaf has no subject alternative name');
  const described = names.slice(0, 4).map(describeName).join(' ');
  if (names.length > 1) return refuse('several-names', `${names.length} names: ${described}`);
  if (only.form !== 'dns') return refuse('wrong-name-type', described);
  const name = only.value.toString('latin1').toLowerCase();
  if (name.includes('*')) return refuse('wildcard-name', described);
  if (!isDnsName(name)) return refuse('malformed-name', described);
  for (const { nameConstraints } of path.slice(1)) {
    if (nameConstraints !== undefined && !permitsDnsName(nameConstraints, name)) {
      return refuse('outside-name-constraints', `${name} is outside what its issuer may sign`);
    }
  }
  const peer = parseIdentity(name, suffix);
  if (peer === undefined) return refuse('unknown-domain', `${name} is no identity of this mesh`);
  return { peer, notAfter: Math.min(...path.map((certificate) => certificate.notAfter)) };
}

function describe(certificate: Certificate): string {
  const [name] = certificate.subjectAltName ?? [];
  return name === undefined ? distinguishedName(certificate.subject) : describeName(name);
}

/** The printable text inside a distinguished name, for messages. */
function distinguishedName(der: Buffer): string {
  const text = der
    .toString('latin1')
    .match(/[\x20-\x7e]{3,}/g)
    ?.join(' ');
  return text === undefined ? 'a certificate without a name' : `"${text.slice(0, 120)}"`;
}
