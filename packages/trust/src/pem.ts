/** PEM text of certificates (RFC 7468). */
import { createHash } from 'node:crypto';

const block = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g;

/** DER of each certificate block, in order. Text between blocks is ignored. */
export function certificateDers(pem: string): Buffer[] {
  return Array.from(pem.matchAll(block), (match) =>
    Buffer.from((match[1] ?? '').replace(/\s/g, ''), 'base64'),
  );
}

/** PEM text of each certificate block, in order. */
export function splitPem(pem: string): string[] {
  return certificateDers(pem).map(toPem);
}

/** PEM block of a DER certificate. */
export function toPem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** SHA-256 of a certificate's DER as `AB:CD:…`, the form that openssl and kubectl plugins print. */
export function fingerprintOf(der: Buffer): string {
  const hex = createHash('sha256').update(der).digest('hex').toUpperCase();
  return (hex.match(/../g) ?? []).join(':');
}

/** SHA-256 fingerprint of the first certificate in `pem`, or undefined when there is none. */
export function fingerprint(pem: string): string | undefined {
  const [first] = certificateDers(pem);
  return first === undefined ? undefined : fingerprintOf(first);
}
