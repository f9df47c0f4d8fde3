/**
 * The webhook's serving certificate: made here, kept in a Secret that the replicas share, and trusted by writing its
 * CA into the webhook configuration. Renewed at two thirds of its life without a restart; the CA's key is thrown
 * away at once, so nothing else can ever be signed by it.
 */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { Clock } from '@mesh/clock/clock';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const skewMs = 60_000;

export interface ServingMaterial {
  /** PEM of the CA to trust. */
  ca: string;
  certificate: string;
  /** PKCS#8 PEM. */
  key: string;
}

interface Options {
  dnsNames: readonly string[];
  lifetimeMs: number;
  clock: Clock;
}

export async function makeServingCertificate({
  dnsNames,
  lifetimeMs,
  clock,
}: Options): Promise<ServingMaterial> {
  const caKeys = await webcrypto.subtle.generateKey(algorithm, false, ['sign', 'verify']);
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const notBefore = new Date(clock.wall() - skewMs);
  const notAfter = new Date(clock.wall() + lifetimeMs);
  const ca = await X509CertificateGenerator.createSelfSigned(
    {
      name: 'CN=mesh injector CA',
      keys: caKeys,
      notBefore,
      notAfter,
      signingAlgorithm: algorithm,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
        // By which a verifier tells it from the one before, whose name is the same.
        await SubjectKeyIdentifierExtension.create(caKeys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  const certificate = await X509CertificateGenerator.create(
    {
      subject: `CN=${dnsNames[0]}`,
      issuer: ca.subject,
      publicKey: keys.publicKey,
      signingKey: caKeys.privateKey,
      notBefore,
      notAfter,
      signingAlgorithm: algorithm,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
        await AuthorityKeyIdentifierExtension.create(caKeys.publicKey, false, webcrypto),
        new SubjectAlternativeNameExtension(dnsNames.map((value) => ({ type: 'dns', value }))),
      ],
    },
    webcrypto,
  );
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    ca: ca.toString('pem'),
    certificate: certificate.toString('pem'),
    key: `-----BEGIN PRIVATE KEY-----\n${der.replace(/(.{64})/g, '$1\n').trim()}\n-----END PRIVATE KEY-----\n`,
  };
}
