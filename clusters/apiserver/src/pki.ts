/**
 * The cluster's own keys: a CA for serving and client certificates, and the key that signs ServiceAccount tokens.
 * The CA and the token key are made once and kept in `DIR/pki` with mode 0600. Nothing here is the mesh's trust: that one has its own anchor.
 */
import 'reflect-metadata';
import { createPrivateKey, createPublicKey, randomBytes, webcrypto, type KeyObject } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  cryptoProvider,
} from '@peculiar/x509';
import type { Clock } from '@mesh/clock/clock';

cryptoProvider.set(webcrypto);

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const yearMs = 365 * 24 * 3_600_000;
/** Certificates begin a little in the past, for clocks that disagree. */
const backdateMs = 5 * 60_000;

export interface KeyPair {
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface ClusterKeys {
  readonly caPem: string;
  readonly serving: KeyPair;
  /** Signs and checks ServiceAccount tokens. */
  readonly tokenKey: KeyObject;
  readonly tokenPublicKey: KeyObject;
  /** A client certificate for `user`, made anew on each call. */
  issueClient(user: string, groups: readonly string[]): Promise<KeyPair>;
  /** A serving certificate, made anew on each call. */
  issueServing(subject: CertificateSubject): Promise<KeyPair>;
}

interface CertificateSubject {
  user: string;
  groups: readonly string[];
  names: readonly CertificateName[];
}

export interface CertificateName {
  readonly type: 'dns' | 'ip';
  readonly value: string;
}

interface KeyOptions {
  directory: string;
  cluster: string;
  clock: Clock;
  servingNames: readonly CertificateName[];
}

async function keyToPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  return `-----BEGIN PRIVATE KEY-----\n${der.toString('base64').replace(/.{1,64}/g, '$&\n')}-----END PRIVATE KEY-----\n`;
}

async function keyFromPem(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' });
  return await webcrypto.subtle.importKey('pkcs8', der, algorithm, true, ['sign']);
}

/** RFC 5280 §4.1.2.2: positive, at most 20 octets. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

/** Reads the pair `name`, or makes it with `create` and stores it. */
async function stored(directory: string, name: string, create: () => Promise<KeyPair>): Promise<KeyPair> {
  const certificate = join(directory, `${name}.crt`);
  const key = join(directory, `${name}.key`);
  if (existsSync(certificate) && existsSync(key)) {
    return { certificatePem: readFileSync(certificate, 'utf8'), keyPem: readFileSync(key, 'utf8') };
  }
  const pair = await create();
  writeFileSync(key, pair.keyPem, { mode: 0o600 });
  writeFileSync(certificate, pair.certificatePem, { mode: 0o600 });
  return pair;
}

export async function loadClusterKeys({
  directory,
  cluster,
  clock,
  servingNames,
}: KeyOptions): Promise<ClusterKeys> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const valid = (years: number): { notBefore: Date; notAfter: Date } => ({
    notBefore: new Date(clock.wall() - backdateMs),
    notAfter: new Date(clock.wall() + years * yearMs),
  });

  const ca = await stored(directory, 'ca', async () => {
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
    const certificate = await X509CertificateGenerator.createSelfSigned({
      serialNumber: serialNumber(),
      name: `CN=kubernetes-ca-${cluster}`,
      ...valid(10),
      signingAlgorithm: algorithm,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.digitalSignature, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return { certificatePem: `${certificate.toString('pem')}\n`, keyPem: await keyToPem(keys.privateKey) };
  });
  const issuer = new X509Certificate(ca.certificatePem).subject;
  const signingKey = await keyFromPem(ca.keyPem);

  const issue = async (
    { user, groups, names }: CertificateSubject,
    usage: ExtendedKeyUsage,
  ): Promise<KeyPair> => {
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
    const certificate = await X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: [...groups.map((group) => ({ O: [group] })), { CN: [user] }],
      issuer,
      ...valid(1),
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey,
      extensions: [
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([usage]),
        ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension([...names])]),
      ],
    });
    return { certificatePem: `${certificate.toString('pem')}\n`, keyPem: await keyToPem(keys.privateKey) };
  };

  // Made at each start: its names follow the settings, and it cannot expire before the next start is due.
  const serving = await issue(
    { user: 'kube-apiserver', groups: [], names: servingNames },
    ExtendedKeyUsage.serverAuth,
  );
  const tokens = await stored(directory, 'service-account', async () => {
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
    const keyPem = await keyToPem(keys.privateKey);
    return {
      keyPem,
      certificatePem: createPublicKey(keyPem).export({ type: 'spki', format: 'pem' }).toString(),
    };
  });
  const tokenKey = createPrivateKey(tokens.keyPem);
  return {
    caPem: ca.certificatePem,
    serving,
    tokenKey,
    tokenPublicKey: createPublicKey(tokenKey),
    issueClient: (user, groups) => issue({ user, groups, names: [] }, ExtendedKeyUsage.clientAuth),
    issueServing: (subject) => issue(subject, ExtendedKeyUsage.serverAuth),
  };
}
