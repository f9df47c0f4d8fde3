/**
 * Certificates of the mesh: anchor, constrained issuer of a cluster, short-lived leaves.
 *
 * All keys are P-256. The anchor is shared by all clusters; each issuer may sign leaves of its own trust domain only
 * and no further authorities (docs/decisions/0004), so that a stolen issuer cannot speak for another cluster.
 */
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import type { Clock } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import { type Certificate, isFault, parseCertificate } from '@mesh/trust/certificate';
import {
  distinguishedName,
  extension,
  keyIdentifier,
  writeCertificate,
} from '@mesh/trust/certificate-writer';
import { derDnsName, derGeneralName } from '@mesh/trust/general-names';
import { clusterNameFault, meshDomain, trustDomain } from '@mesh/trust/names';
import { oids } from '@mesh/trust/oids';
import { issuerConstraints } from './issuer-constraints.ts';
import { toPem } from '@mesh/trust/pem';

const dayMs = 86_400_000;
const yearMs = 365 * dayMs;

/** How far a certificate starts in the past, for clocks that differ. */
const clockSkewMs = 20_000;
const anchorLifetimeMs = 10 * yearMs;
const issuerLifetimeMs = yearMs;
const leafLifetimeMs = dayMs;

/** A certificate that can sign, with its key. */
export interface Authority {
  readonly key: KeyObject;
  readonly certificate: Certificate;
  readonly certificatePem: string;
}

/** A new self-signed trust anchor. */
export function createAnchor(options: { clock: Clock; lifetimeMs?: number }): Authority {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const spki = spkiOf(publicKey);
  // The key's identifier in the name keeps two anchors apart when they meet in one bundle.
  const name = distinguishedName(`mesh trust anchor ${keyIdentifier(spki).toString('hex', 0, 4)}`);
  return authority(
    privateKey,
    writeCertificate({
      serial: randomSerial(),
      issuer: name,
      subject: name,
      ...period(options.clock, options.lifetimeMs ?? anchorLifetimeMs),
      spki,
      extensions: [
        extension.basicConstraints(true),
        extension.keyUsage('sign'),
        extension.subjectKeyIdentifier(spki),
      ],
      signingKey: privateKey,
    }),
  );
}

export interface IssuerOptions {
  readonly anchor: Authority;
  readonly cluster: string;
  readonly clock: Clock;
  readonly lifetimeMs?: number;
  /** Suffix of trust domains. */
  readonly suffix?: string;
}

/**
 * A new issuer for `cluster`: path length 0; critical name constraints permit DNS names of the trust domain and, for
 * the other forms a verifier may look at, only names that nobody has. Ends no later than the anchor.
 * @throws MeshError credentials-invalid for a bad cluster name or an expired anchor
 */
export function createIssuer({
  anchor,
  cluster,
  clock,
  lifetimeMs,
  suffix = meshDomain,
}: IssuerOptions): Authority {
  const fault = clusterNameFault(cluster);
  if (fault !== undefined) throw new MeshError('credentials-invalid', fault);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const spki = spkiOf(publicKey);
  const { notBefore, notAfter } = period(clock, lifetimeMs ?? issuerLifetimeMs);
  if (anchor.certificate.notAfter <= clock.wall()) {
    throw new MeshError('credentials-invalid', 'the trust anchor has expired', {
      remedy: 'make a new one with "mesh trust init DIR"',
    });
  }
  return authority(
    privateKey,
    writeCertificate({
      serial: randomSerial(),
      issuer: anchor.certificate.subject,
      subject: distinguishedName(`mesh issuer ${cluster} ${keyIdentifier(spki).toString('hex', 0, 4)}`),
      notBefore: Math.max(notBefore, anchor.certificate.notBefore),
      notAfter: Math.min(notAfter, anchor.certificate.notAfter),
      spki,
      extensions: [
        extension.basicConstraints(true, 0),
        extension.keyUsage('sign'),
        extension.nameConstraints(issuerConstraints(trustDomain(cluster, suffix)).map(derGeneralName)),
        extension.subjectKeyIdentifier(spki),
        extension.authorityKeyIdentifier(anchor.certificate.spki),
      ],
      signingKey: anchor.key,
    }),
  );
}

export interface LeafOptions {
  readonly issuer: Authority;
  /** DER of the public key, from a checked signing request. */
  readonly spki: Buffer;
  /** The only name of the leaf. */
  readonly identity: string;
  readonly clock: Clock;
  readonly lifetimeMs?: number;
}

export interface Leaf {
  readonly der: Buffer;
  /** Wall-clock milliseconds. */
  readonly notAfter: number;
  /** Hexadecimal. */
  readonly serial: string;
}

/** Signs a leaf for both sides of TLS. Ends no later than the issuer. The caller has checked who asks for it. */
export function signLeaf({ issuer, spki, identity, clock, lifetimeMs = leafLifetimeMs }: LeafOptions): Leaf {
  const serial = randomSerial();
  const { notBefore, notAfter } = period(clock, lifetimeMs);
  const end = Math.min(notAfter, issuer.certificate.notAfter);
  const leaf = writeCertificate({
    serial,
    issuer: issuer.certificate.subject,
    subject: distinguishedName(),
    notBefore: Math.max(notBefore, issuer.certificate.notBefore),
    notAfter: end,
    spki,
    extensions: [
      extension.basicConstraints(false),
      extension.keyUsage('tls'),
      extension.extendedKeyUsage([oids.serverAuth, oids.clientAuth]),
      extension.subjectAltName([derDnsName(identity)]),
      extension.authorityKeyIdentifier(issuer.certificate.spki),
    ],
    signingKey: issuer.key,
  });
  return { der: leaf, notAfter: end, serial: serial.toString('hex') };
}

/** The authority made of a private key and its certificate in DER. */
export function authority(key: KeyObject, certificateDer: Buffer): Authority {
  const certificate = parseCertificate(certificateDer);
  if (isFault(certificate))
    throw new MeshError('credentials-invalid', `unusable certificate: ${certificate.fault}`);
  return { key, certificate, certificatePem: toPem(certificateDer) };
}

function spkiOf(publicKey: KeyObject): Buffer {
  return publicKey.export({ type: 'spki', format: 'der' });
}

/** 127 random bits (RFC 5280 §4.1.2.2: positive, at most 20 octets). */
function randomSerial(): Buffer {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}

function period(clock: Clock, lifetimeMs: number): { notBefore: number; notAfter: number } {
  const second = 1000;
  const now = clock.wall();
  return {
    notBefore: Math.floor((now - clockSkewMs) / second) * second,
    notAfter: Math.floor((now + lifetimeMs) / second) * second,
  };
}
