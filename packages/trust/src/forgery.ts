/** Certificates for tests, including those no authority of the mesh would sign. */
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { distinguishedName, type Extension, extension, writeCertificate } from './certificate-writer.ts';
import type { Credentials } from './credentials.ts';
import { contextTag, der } from './der.ts';
import { derDnsName } from './general-names.ts';
import { identityName, trustDomain } from './names.ts';
import { oids } from './oids.ts';
import { toPem } from './pem.ts';

const hourMs = 3_600_000;

export interface Forged {
  readonly der: Buffer;
  readonly key: KeyObject;
  readonly spki: Buffer;
  readonly subject: Buffer;
}

export interface ForgeOptions {
  /** Undefined: self-signed. */
  by?: Forged;
  /** Signs in place of `by`'s key. */
  signedWith?: KeyObject;
  commonName?: string;
  notBefore?: number;
  notAfter?: number;
  extensions: readonly Extension[];
  keyType?: KeyType;
  /** Whose key it is of; undefined: a new one. */
  keyOf?: Forged;
}

export type KeyType =
  | 'P-256'
  | 'P-384'
  | 'P-521'
  | 'secp256k1'
  | 'rsa-1024'
  | 'rsa-2048'
  | 'ed25519'
  | 'ed448';

function generateKeyPair(type: KeyType): { privateKey: KeyObject; publicKey: KeyObject } {
  switch (type) {
    case 'rsa-1024':
    case 'rsa-2048':
      return generateKeyPairSync('rsa', { modulusLength: Number(type.slice(4)) });
    case 'ed25519':
      return generateKeyPairSync('ed25519');
    case 'ed448':
      return generateKeyPairSync('ed448');
    case 'P-256':
    case 'P-384':
    case 'P-521':
    case 'secp256k1':
      return generateKeyPairSync('ec', { namedCurve: type });
  }
}

function newKey(type: KeyType): Pick<Forged, 'key' | 'spki'> {
  const { privateKey, publicKey } = generateKeyPair(type);
  return { key: privateKey, spki: publicKey.export({ type: 'spki', format: 'der' }) };
}

export function forge(options: ForgeOptions): Forged {
  const { key: privateKey, spki } = options.keyOf ?? newKey(options.keyType ?? 'P-256');
  const subject = distinguishedName(options.commonName);
  const serial = randomBytes(16);
  serial[0] = 0x40;
  const bytes = writeCertificate({
    serial,
    issuer: options.by?.subject ?? subject,
    subject,
    notBefore: options.notBefore ?? Date.now() - hourMs,
    notAfter: options.notAfter ?? Date.now() + hourMs,
    spki,
    extensions: options.extensions,
    signingKey: options.signedWith ?? options.by?.key ?? privateKey,
  });
  return { der: bytes, key: privateKey, spki, subject };
}

export function forgeAnchor(commonName = 'test anchor', overrides: Partial<ForgeOptions> = {}): Forged {
  return forge({
    commonName,
    extensions: [extension.basicConstraints(true), extension.keyUsage('sign')],
    ...overrides,
  });
}

/** Constrained to DNS names of the cluster only, as weak as a lone DNS constraint is. */
export function forgeIssuer(by: Forged, cluster: string, overrides: Partial<ForgeOptions> = {}): Forged {
  return forge({
    by,
    commonName: `issuer ${cluster}`,
    extensions: [
      extension.basicConstraints(true, 0),
      extension.keyUsage('sign'),
      extension.nameConstraints([derDnsName(trustDomain(cluster))]),
    ],
    ...overrides,
  });
}

export const generalName = {
  dns: derDnsName,
  uri: (text: string) => der(contextTag(6, false), Buffer.from(text)),
  email: (text: string) => der(contextTag(1, false), Buffer.from(text)),
  ip: (...bytes: number[]) => der(contextTag(7, false), Buffer.from(bytes)),
} as const;

export const leafUsages: readonly Extension[] = [
  extension.keyUsage('tls'),
  extension.extendedKeyUsage([oids.serverAuth, oids.clientAuth]),
];

/** A leaf with these names; none leaves the SAN extension out. */
export function forgeLeaf(
  by: Forged,
  names: readonly Buffer[],
  overrides: Partial<ForgeOptions> = {},
): Forged {
  return forge({
    by,
    extensions: [...leafUsages, ...(names.length === 0 ? [] : [extension.subjectAltName(names)])],
    ...overrides,
  });
}

export function identityOf(serviceAccount: string, cluster: string): string {
  return identityName({ serviceAccount, namespace: 'shop', cluster });
}

/** Credentials of `leaf` with the certificates above it, believing in `anchors`. */
export function credentialsOf(
  leaf: Forged,
  intermediates: readonly Forged[],
  anchors: readonly Forged[],
): Credentials {
  return {
    key: leaf.key,
    chainPem: [leaf, ...intermediates].map(({ der: bytes }) => toPem(bytes)).join(''),
    anchorsPem: anchors.map(({ der: bytes }) => toPem(bytes)).join(''),
    identity: '',
    notAfter: Date.now() + hourMs,
  };
}
