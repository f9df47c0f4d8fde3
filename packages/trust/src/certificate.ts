/** Reads the fields of an X.509 certificate (RFC 5280 §4) that the chain check decides on. */
import { contextTag, DerReader, onlyElement, readOid, readTime, tags } from './der.ts';
import { type GeneralName, readGeneralNames } from './general-names.ts';
import { type NameConstraints, readNameConstraints } from './name-constraints.ts';
import { oids } from './oids.ts';

export interface Certificate {
  readonly der: Buffer;
  /** Signed part, with header. */
  readonly tbs: Buffer;
  readonly serial: Buffer;
  /** DER of the issuer's and subject's distinguished name. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  /** Wall-clock milliseconds, both inclusive. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** DER of SubjectPublicKeyInfo. */
  readonly spki: Buffer;
  readonly signatureAlgorithm: string;
  readonly signature: Buffer;
  /** Undefined without a basicConstraints extension. */
  readonly basicConstraints: { readonly ca: boolean; readonly pathLength: number | undefined } | undefined;
  readonly keyUsage: KeyUsage | undefined;
  /** OIDs; undefined without the extension. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  /** Undefined without the extension. */
  readonly subjectAltName: readonly GeneralName[] | undefined;
  readonly nameConstraints: NameConstraints | undefined;
  /** Key identifiers as hexadecimal text. */
  readonly subjectKeyId: string | undefined;
  /** OIDs of critical extensions that this reader does not know. */
  readonly unknownCritical: readonly string[];
}

export interface KeyUsage {
  readonly digitalSignature: boolean;
  readonly keyCertSign: boolean;
}

export interface CertificateFault {
  readonly fault: string;
}

type Extensions = Pick<
  Certificate,
  | 'basicConstraints'
  | 'keyUsage'
  | 'extendedKeyUsage'
  | 'subjectAltName'
  | 'nameConstraints'
  | 'subjectKeyId'
  | 'unknownCritical'
>;

export function isFault<Value extends object>(value: Value | CertificateFault): value is CertificateFault {
  return 'fault' in value;
}

export function parseCertificate(der: Buffer): Certificate | CertificateFault {
  const outer = onlyElement(der, tags.sequence);
  if (outer === undefined) return { fault: 'not one DER sequence' };
  const parts = new DerReader(outer);
  const tbs = parts.next(tags.sequence);
  const outerAlgorithm = parts.next(tags.sequence);
  const signature = parts.next(tags.bitString);
  if (tbs === undefined || outerAlgorithm === undefined || signature === undefined || !parts.atEnd) {
    return { fault: 'not a certificate' };
  }
  const fields = new DerReader(tbs.content);
  const version = fields.optional(contextTag(0, true));
  const serial = fields.next(tags.integer);
  const innerAlgorithm = fields.next(tags.sequence);
  const issuer = fields.next(tags.sequence);
  const validity = fields.next(tags.sequence);
  const subject = fields.next(tags.sequence);
  const spki = fields.next(tags.sequence);
  if (
    serial === undefined ||
    innerAlgorithm === undefined ||
    issuer === undefined ||
    validity === undefined ||
    subject === undefined ||
    spki === undefined
  ) {
    return { fault: 'incomplete certificate' };
  }
  if (version === undefined || onlyElement(version.content, tags.integer)?.toString('hex') !== '02') {
    return { fault: 'not a version 3 certificate' };
  }
  if (!innerAlgorithm.whole.equals(outerAlgorithm.whole)) return { fault: 'two signature algorithms' };
  const period = readValidity(validity.content);
  const algorithm = new DerReader(innerAlgorithm.content).next(tags.oid);
  const signatureAlgorithm = algorithm === undefined ? undefined : readOid(algorithm.content);
  if (period === undefined) return { fault: 'malformed validity' };
  if (signatureAlgorithm === undefined || signature.content[0] !== 0) return { fault: 'malformed signature' };
  fields.optional(contextTag(1, false));
  fields.optional(contextTag(2, false));
  const wrapper = fields.optional(contextTag(3, true));
  if (!fields.atEnd) return { fault: 'trailing fields' };
  const list = wrapper === undefined ? Buffer.alloc(0) : onlyElement(wrapper.content, tags.sequence);
  if (list === undefined) return { fault: 'extensions that are no list' };
  const extensions = readExtensions(list);
  if (isFault(extensions)) return extensions;
  return {
    der,
    tbs: tbs.whole,
    serial: serial.content,
    issuer: issuer.whole,
    subject: subject.whole,
    ...period,
    spki: spki.whole,
    signatureAlgorithm,
    signature: signature.content.subarray(1),
    ...extensions,
  };
}

function readValidity(content: Buffer): { notBefore: number; notAfter: number } | undefined {
  const reader = new DerReader(content);
  const from = reader.next();
  const to = reader.next();
  if (from === undefined || to === undefined || !reader.atEnd) return undefined;
  const notBefore = readTime(from);
  const notAfter = readTime(to);
  return notBefore === undefined || notAfter === undefined ? undefined : { notBefore, notAfter };
}

function readExtensions(content: Buffer): Extensions | CertificateFault {
  const found: { -readonly [Name in keyof Extensions]: Extensions[Name] } = {
    basicConstraints: undefined,
    keyUsage: undefined,
    extendedKeyUsage: undefined,
    subjectAltName: undefined,
    nameConstraints: undefined,
    subjectKeyId: undefined,
    unknownCritical: [],
  };
  const unknownCritical: string[] = [];
  const seen = new Set<string>();
  const list = new DerReader(content);
  while (!list.atEnd) {
    const extension = list.next(tags.sequence);
    if (extension === undefined) return { fault: 'malformed extension' };
    const fields = new DerReader(extension.content);
    const id = fields.next(tags.oid);
    const critical = fields.optional(tags.boolean)?.content[0] === 0xff;
    const value = fields.next(tags.octetString);
    const oid = id === undefined ? undefined : readOid(id.content);
    if (oid === undefined || value === undefined || !fields.atEnd) return { fault: 'malformed extension' };
    if (seen.has(oid)) return { fault: `extension ${oid} twice` };
    seen.add(oid);
    let parsed: unknown = null;
    if (oid === oids.basicConstraints) {
      parsed = found.basicConstraints = readBasicConstraints(value.content);
    } else if (oid === oids.keyUsage) {
      parsed = found.keyUsage = readKeyUsage(value.content);
    } else if (oid === oids.extendedKeyUsage) {
      parsed = found.extendedKeyUsage = readOids(value.content);
    } else if (oid === oids.subjectAltName) {
      parsed = found.subjectAltName = readGeneralNames(value.content);
    } else if (oid === oids.nameConstraints) {
      parsed = found.nameConstraints = readNameConstraints(value.content, critical);
    } else if (oid === oids.subjectKeyIdentifier) {
      parsed = found.subjectKeyId = onlyElement(value.content, tags.octetString)?.toString('hex');
    } else if (critical && oid !== oids.certificatePolicies) {
      unknownCritical.push(oid);
    }
    if (parsed === undefined) return { fault: `malformed extension ${oid}` };
  }
  found.unknownCritical = unknownCritical;
  return found;
}

function readBasicConstraints(value: Buffer): Certificate['basicConstraints'] {
  const content = onlyElement(value, tags.sequence);
  if (content === undefined) return undefined;
  const reader = new DerReader(content);
  const ca = reader.optional(tags.boolean)?.content[0] === 0xff;
  const length = reader.optional(tags.integer)?.content;
  if (!reader.atEnd || (length !== undefined && (length.length !== 1 || (length[0] ?? 0x80) > 0x7f)))
    return undefined;
  return { ca, pathLength: length?.[0] };
}

function readKeyUsage(value: Buffer): KeyUsage | undefined {
  const bits = onlyElement(value, tags.bitString);
  if (bits === undefined || bits.length < 2) return undefined;
  const first = bits[1] ?? 0;
  return { digitalSignature: (first & 0x80) !== 0, keyCertSign: (first & 0x04) !== 0 };
}

function readOids(value: Buffer): string[] | undefined {
  const content = onlyElement(value, tags.sequence);
  if (content === undefined) return undefined;
  const found: string[] = [];
  const reader = new DerReader(content);
  while (!reader.atEnd) {
    const element = reader.next(tags.oid);
    const oid = element === undefined ? undefined : readOid(element.content);
    if (oid === undefined) return undefined;
    found.push(oid);
  }
  return found;
}
