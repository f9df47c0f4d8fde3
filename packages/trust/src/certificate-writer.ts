/** Writes X.509 v3 certificates (RFC 5280 §4). Policy, what may be signed for whom, is the authority's. */
import { createHash, type KeyObject, sign } from 'node:crypto';
import {
  contextTag,
  der,
  derBitString,
  derBoolean,
  derInteger,
  derOid,
  DerReader,
  derSequence,
  derTime,
  onlyElement,
  tags,
} from './der.ts';
import { oids } from './oids.ts';

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  /** DER of the extension's own syntax. */
  readonly value: Buffer;
}

export interface CertificateFields {
  /** At most 20 bytes, the first one not above 0x7f. */
  readonly serial: Buffer;
  /** DER of the distinguished names. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  /** Wall-clock milliseconds, cut to seconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly spki: Buffer;
  readonly extensions: readonly Extension[];
  /** P-256 key of the issuer. */
  readonly signingKey: KeyObject;
}

/** DER of the certificate, signed with ecdsa-with-SHA256. */
export function writeCertificate(fields: CertificateFields): Buffer {
  const algorithm = derSequence(derOid(oids.ecdsaWithSha256));
  const extensions = fields.extensions.map(({ oid, critical, value }) =>
    derSequence(derOid(oid), ...(critical ? [derBoolean(true)] : []), der(tags.octetString, value)),
  );
  const tbs = derSequence(
    der(contextTag(0, true), derInteger(Buffer.from([2]))),
    derInteger(fields.serial),
    algorithm,
    fields.issuer,
    derSequence(derTime(fields.notBefore), derTime(fields.notAfter)),
    fields.subject,
    fields.spki,
    ...(extensions.length === 0 ? [] : [der(contextTag(3, true), derSequence(...extensions))]),
  );
  return derSequence(tbs, algorithm, derBitString(sign('sha256', tbs, fields.signingKey)));
}

/** Distinguished name with a common name only; empty without one. */
export function distinguishedName(commonName?: string): Buffer {
  if (commonName === undefined) return derSequence();
  const pair = derSequence(derOid(oids.commonName), der(tags.utf8String, Buffer.from(commonName)));
  return derSequence(der(tags.set, pair));
}

/** Key identifier of RFC 7093 §2 method 1: the first 160 bits of SHA-256 over the public key's bits. */
export function keyIdentifier(spki: Buffer): Buffer {
  const fields = new DerReader(onlyElement(spki, tags.sequence) ?? Buffer.alloc(0));
  fields.next(tags.sequence);
  const bits = fields.next(tags.bitString)?.content.subarray(1) ?? Buffer.alloc(0);
  return createHash('sha256').update(bits).digest().subarray(0, 20);
}

/** The extensions a certificate of the mesh can carry. */
export const extension = {
  basicConstraints(ca: boolean, pathLength?: number): Extension {
    const parts: Buffer[] = [];
    if (ca) parts.push(derBoolean(true));
    if (pathLength !== undefined) parts.push(derInteger(Buffer.from([pathLength])));
    return { oid: oids.basicConstraints, critical: true, value: derSequence(...parts) };
  },
  /** `sign`: keyCertSign and cRLSign, for authorities; `tls`: digitalSignature, for leaves. */
  keyUsage(purpose: 'sign' | 'tls'): Extension {
    const value =
      purpose === 'sign' ? derBitString(Buffer.from([0x06]), 1) : derBitString(Buffer.from([0x80]), 7);
    return { oid: oids.keyUsage, critical: true, value };
  },
  extendedKeyUsage(usages: readonly string[]): Extension {
    return { oid: oids.extendedKeyUsage, critical: false, value: derSequence(...usages.map(derOid)) };
  },
  /** `names`: DER of each GeneralName. */
  subjectAltName(names: readonly Buffer[]): Extension {
    return { oid: oids.subjectAltName, critical: true, value: derSequence(...names) };
  },
  /** `permitted`: DER of each base GeneralName. */
  nameConstraints(permitted: readonly Buffer[]): Extension {
    const subtrees = permitted.map((base) => derSequence(base));
    return {
      oid: oids.nameConstraints,
      critical: true,
      value: derSequence(der(contextTag(0, true), ...subtrees)),
    };
  },
  subjectKeyIdentifier(spki: Buffer): Extension {
    return {
      oid: oids.subjectKeyIdentifier,
      critical: false,
      value: der(tags.octetString, keyIdentifier(spki)),
    };
  },
  authorityKeyIdentifier(issuerSpki: Buffer): Extension {
    const value = derSequence(der(contextTag(0, false), keyIdentifier(issuerSpki)));
    return { oid: oids.authorityKeyIdentifier, critical: false, value };
  },
} as const;
