/** What the tables of certificate vectors are made of. */
import { sign, type KeyObject } from 'node:crypto';
import { extension } from '../certificate-writer.ts';
import { derBitString, DerReader, derSequence, onlyElement, tags } from '../der.ts';
import { forgeAnchor, type Forged, forgeIssuer, identityOf } from '../forgery.ts';
import type { RefusalReason } from '../refusal.ts';

export interface Vector {
  readonly what: string;
  /** Leaf first. */
  readonly chain: readonly Forged[];
  /** The identity that is found, or why there is none. */
  readonly expect: RefusalReason | { readonly accepted: string };
  /** Default: the one anchor below. */
  readonly anchors?: readonly Forged[];
  /** What the peer is. Default client. */
  readonly role?: 'client' | 'server';
  /** Milliseconds from now at which it is judged. */
  readonly after?: number;
  /** The acceptor's verdict where a handshake shows less, or OpenSSL refuses more, and why. */
  readonly inHandshake?: { readonly verdict: RefusalReason | 'accepted'; readonly why: string };
}

export const anchor: Forged = forgeAnchor();
export const east: Forged = forgeIssuer(anchor, 'east');
/** An issuer without name constraints: only our own check of names stands behind it. */
export const free: Forged = forgeIssuer(anchor, 'free', {
  extensions: [extension.basicConstraints(true), extension.keyUsage('sign')],
});
export const identity: string = identityOf('cart', 'east');
export const accepted: { readonly accepted: string } = { accepted: identity };

/** Elements of a TBSCertificate (RFC 5280 §4.1), in order, as forgery writes them. */
export const field = {
  version: 0,
  serial: 1,
  algorithm: 2,
  issuer: 3,
  validity: 4,
  subject: 5,
  spki: 6,
  extensions: 7,
} as const;

/** The certificate with its elements changed, signed again by `signer`. */
export function rewrite(
  certificate: Forged,
  signer: KeyObject,
  change: (elements: Buffer[]) => Buffer[],
  outer?: Buffer,
): Forged {
  const parts = new DerReader(onlyElement(certificate.der, tags.sequence) ?? Buffer.alloc(0));
  const fields = new DerReader(parts.next(tags.sequence)?.content ?? Buffer.alloc(0));
  const algorithm = outer ?? parts.next(tags.sequence)?.whole ?? Buffer.alloc(0);
  const elements: Buffer[] = [];
  for (let element = fields.next(); element !== undefined; element = fields.next())
    elements.push(element.whole);
  const tbs = derSequence(...change(elements));
  return { ...certificate, der: derSequence(tbs, algorithm, derBitString(sign('sha256', tbs, signer))) };
}

/** Replaces one element. */
export function replacing(at: number, element: Buffer): (elements: Buffer[]) => Buffer[] {
  return (elements) => elements.map((old, index) => (index === at ? element : old));
}
