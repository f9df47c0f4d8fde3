/** What a program proves itself with, and whom it believes; replaceable at any time (docs/trust-rotation.md). */
import type { KeyObject } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { MeshError } from '@mesh/errors/mesh-error';
import type { Certificate } from './certificate.ts';
import { parseAnchors } from './chain.ts';
import { splitPem } from './pem.ts';

export interface Credentials {
  /** Private key of the leaf. */
  readonly key: KeyObject;
  /** Leaf first, then its issuers, without the anchor. */
  readonly chainPem: string;
  /** One or more trust anchors. */
  readonly anchorsPem: string;
  /** The leaf's only DNS name. */
  readonly identity: string;
  /** Expiry of the leaf, wall-clock milliseconds. */
  readonly notAfter: number;
}

/** Anchors alone: enough to check a server before the first own certificate exists. */
export type AnchorsOnly = Pick<Credentials, 'anchorsPem'>;

export class CredentialStore {
  readonly #listeners: Set<(credentials: Credentials) => void> = new Set();
  #current: Credentials | undefined;

  constructor(initial?: Credentials) {
    this.#current = initial;
  }

  /** Undefined until the first certificate. */
  get current(): Credentials | undefined {
    return this.#current;
  }

  /**
   * New handshakes use `credentials` from now on; open connections stay.
   * @throws MeshError credentials-invalid, and nothing has changed
   */
  update(credentials: Credentials): void {
    secureContextOf(credentials);
    this.#current = credentials;
    for (const listener of this.#listeners) listener(credentials);
  }

  /** Calls `listener` after each update; the returned function ends that. */
  onChange(listener: (credentials: Credentials) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls `then` once there are credentials, now if there are; the returned function ends the wait. */
  whenPresent(then: () => void): () => void {
    if (this.#current !== undefined) {
      then();
      return () => {};
    }
    const end = this.onChange(() => {
      end();
      then();
    });
    return end;
  }
}

const contexts: WeakMap<AnchorsOnly, SecureContext> = new WeakMap();
const parsedAnchors: WeakMap<AnchorsOnly, readonly Certificate[]> = new WeakMap();

/** TLS 1.3 only; the anchors are the only authorities, the system's store is not loaded. */
export function secureContextOptions(source: Credentials | AnchorsOnly): SecureContextOptions {
  const own =
    'key' in source
      ? { key: source.key.export({ type: 'pkcs8', format: 'pem' }), cert: source.chainPem }
      : {};
  // Each by itself: OpenSSL takes of one text only what comes before the first that it cannot read, and says nothing.
  return { ...own, ca: splitPem(source.anchorsPem), minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' };
}

/** The context of `source`, made once for each object. */
export function secureContextOf(source: Credentials | AnchorsOnly): SecureContext {
  const known = contexts.get(source);
  if (known !== undefined) return known;
  if (anchorsOf(source).length === 0) {
    throw new MeshError('credentials-invalid', 'there is no certificate among the trust anchors');
  }
  let made: SecureContext;
  try {
    made = createSecureContext(secureContextOptions(source));
  } catch (cause) {
    throw new MeshError(
      'credentials-invalid',
      'the certificate chain, its key or the anchors cannot be used',
      { cause },
    );
  }
  contexts.set(source, made);
  return made;
}

/** The parsed anchors of `source`, made once for each object. */
export function anchorsOf(source: AnchorsOnly): readonly Certificate[] {
  const known = parsedAnchors.get(source);
  if (known !== undefined) return known;
  const made = parseAnchors(source.anchorsPem);
  parsedAnchors.set(source, made);
  return made;
}
