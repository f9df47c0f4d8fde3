/** PKCS #10 certification requests (RFC 2986): P-256, empty subject, one DNS name. */
import { createPublicKey, generateKeyPair, type KeyObject, sign, verify } from 'node:crypto';
import {
  contextTag,
  der,
  derBitString,
  derBoolean,
  derInteger,
  derOid,
  DerReader,
  derSequence,
  onlyElement,
  readOid,
  tags,
} from './der.ts';
import { derSubjectAltName, type GeneralName, readGeneralNames } from './general-names.ts';
import { oids } from './oids.ts';

/** A fresh key and a request for `identity` signed with it. */
export async function createKeyAndCsr(identity: string): Promise<{ key: KeyObject; csrDer: Buffer }> {
  const key = await createKey();
  return { key, csrDer: createCsr(key, identity) };
}

function createKey(): Promise<KeyObject> {
  return new Promise((resolve, reject) => {
    generateKeyPair('ec', { namedCurve: 'prime256v1' }, (error, _publicKey, privateKey) => {
      if (error === null) resolve(privateKey);
      else reject(error);
    });
  });
}

/** A request for the DNS name `identity`, signed with the P-256 `key`. */
export function createCsr(key: KeyObject, identity: string): Buffer {
  const names = derSequence(
    derOid(oids.subjectAltName),
    derBoolean(true),
    der(tags.octetString, derSubjectAltName(identity)),
  );
  const attribute = derSequence(derOid(oids.extensionRequest), der(tags.set, derSequence(names)));
  const info = derSequence(
    derInteger(Buffer.from([0])),
    derSequence(),
    createPublicKey(key).export({ type: 'spki', format: 'der' }),
    der(contextTag(0, true), attribute),
  );
  return derSequence(
    info,
    derSequence(derOid(oids.ecdsaWithSha256)),
    derBitString(sign('sha256', info, key)),
  );
}

export interface SigningRequest {
  /** DER of SubjectPublicKeyInfo, of a P-256 key. */
  readonly spki: Buffer;
  /** Common name of the subject; undefined for an empty subject. */
  readonly commonName: string | undefined;
  /** Requested names, as found. */
  readonly names: readonly GeneralName[];
}

export interface SigningRequestFault {
  readonly fault: string;
}

/**
 * Reads a request and verifies that its sender holds the private key. Requested extensions other than names are
 * ignored: the authority decides what a leaf may do.
 */
export function parseCsr(bytes: Buffer): SigningRequest | SigningRequestFault {
  const outer = onlyElement(bytes, tags.sequence);
  const parts = new DerReader(outer ?? Buffer.alloc(0));
  const info = parts.next(tags.sequence);
  const algorithm = parts.next(tags.sequence);
  const signature = parts.next(tags.bitString);
  if (info === undefined || algorithm === undefined || signature === undefined || !parts.atEnd) {
    return { fault: 'not a PKCS #10 request in DER' };
  }
  const fields = new DerReader(info.content);
  const version = fields.next(tags.integer);
  const subject = fields.next(tags.sequence);
  const spki = fields.next(tags.sequence);
  const attributes = fields.optional(contextTag(0, true));
  if (
    version?.content.toString('hex') !== '00' ||
    subject === undefined ||
    spki === undefined ||
    !fields.atEnd
  ) {
    return { fault: 'incomplete request' };
  }
  const key = p256Key(spki.whole);
  if (key === undefined) return { fault: 'the key is not a P-256 key' };
  const oid = new DerReader(algorithm.content).next(tags.oid);
  if (oid === undefined || readOid(oid.content) !== oids.ecdsaWithSha256 || signature.content[0] !== 0) {
    return { fault: 'the signature is not ecdsa-with-SHA256' };
  }
  if (!verify('sha256', info.whole, key, signature.content.subarray(1))) {
    return { fault: 'the signature does not prove possession of the key' };
  }
  const commonName = readSubject(subject.content);
  if (commonName === null) return { fault: 'the subject may hold a common name only' };
  const names = readRequestedNames(attributes?.content ?? Buffer.alloc(0));
  if (names === undefined) return { fault: 'malformed attributes' };
  return { spki: spki.whole, commonName, names };
}

function p256Key(spki: Buffer): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    const isP256 = key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
    return isP256 ? key : undefined;
  } catch {
    return undefined;
  }
}

/** The common name, undefined for an empty subject, null for anything else. */
function readSubject(content: Buffer): string | undefined | null {
  const sets = new DerReader(content);
  if (sets.atEnd) return undefined;
  const set = sets.next(tags.set);
  const pair = set === undefined ? undefined : onlyElement(set.content, tags.sequence);
  if (pair === undefined || !sets.atEnd) return null;
  const fields = new DerReader(pair);
  const type = fields.next(tags.oid);
  const value = fields.next();
  if (type === undefined || value === undefined || !fields.atEnd) return null;
  if (readOid(type.content) !== oids.commonName) return null;
  return value.tag === tags.utf8String || value.tag === tags.printableString
    ? value.content.toString('utf8')
    : null;
}

/** All names of all extension requests; undefined when malformed. */
function readRequestedNames(attributes: Buffer): GeneralName[] | undefined {
  const names: GeneralName[] = [];
  const list = new DerReader(attributes);
  while (!list.atEnd) {
    const attribute = list.next(tags.sequence);
    if (attribute === undefined) return undefined;
    const fields = new DerReader(attribute.content);
    const type = fields.next(tags.oid);
    const values = fields.next(tags.set);
    if (type === undefined || values === undefined || !fields.atEnd) return undefined;
    if (readOid(type.content) !== oids.extensionRequest) continue;
    const extensions = onlyElement(values.content, tags.sequence);
    if (extensions === undefined) return undefined;
    const reader = new DerReader(extensions);
    while (!reader.atEnd) {
      const extension = reader.next(tags.sequence);
      if (extension === undefined) return undefined;
      const parts = new DerReader(extension.content);
      const oid = parts.next(tags.oid);
      parts.optional(tags.boolean);
      const value = parts.next(tags.octetString);
      if (oid === undefined || value === undefined || !parts.atEnd) return undefined;
      if (readOid(oid.content) !== oids.subjectAltName) continue;
      const found = readGeneralNames(value.content);
      if (found === undefined) return undefined;
      names.push(...found);
    }
  }
  return names;
}
