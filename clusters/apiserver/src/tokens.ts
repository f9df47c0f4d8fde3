/** ServiceAccount tokens: JWTs (RFC 7519) signed with ES256, with the private claims of Kubernetes' bound tokens. */
import { createHash, randomUUID, sign, verify, type KeyObject } from 'node:crypto';
import type { Clock } from '@mesh/clock/clock';
import { at, isObject, numberAt, textAt, textsAt, type Json, type JsonObject } from './json.ts';
import { isTerminating } from './object.ts';
import type { Store } from './store.ts';

export const tokenIssuer = 'https://kubernetes.default.svc.cluster.local';

export interface BoundObject {
  kind: 'Pod' | 'Secret' | 'Node';
  name: string;
  uid: string;
}

export interface TokenSubject {
  namespace: string;
  name: string;
  uid: string;
  audiences: string[];
  bound: BoundObject | undefined;
  jti: string;
}

interface TokenOptions {
  key: KeyObject;
  publicKey: KeyObject;
  store: Store;
  clock: Clock;
}

const encode = (value: Json): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function decode(part: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** RFC 7638 thumbprint of the public key, as its key id. */
function keyId(publicKey: KeyObject): string {
  const { crv, kty, x, y } = publicKey.export({ format: 'jwk' });
  return createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
}

export class ServiceAccountTokens {
  readonly #key: KeyObject;
  readonly #publicKey: KeyObject;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #kid: string;

  constructor({ key, publicKey, store, clock }: TokenOptions) {
    this.#key = key;
    this.#publicKey = publicKey;
    this.#store = store;
    this.#clock = clock;
    this.#kid = keyId(publicKey);
  }

  /** JSON Web Key Set (RFC 7517) for verifiers outside this server. */
  get keySet(): JsonObject {
    const { crv, kty, x, y } = this.#publicKey.export({ format: 'jwk' });
    return {
      keys: [
        {
          use: 'sig',
          kty: kty ?? '',
          kid: this.#kid,
          alg: 'ES256',
          crv: crv ?? '',
          x: x ?? '',
          y: y ?? '',
        },
      ],
    };
  }

  issue(subject: Omit<TokenSubject, 'jti'>, lifetimeSeconds: number): { token: string; expiresMs: number } {
    const now = Math.floor(this.#clock.wall() / 1000);
    const { namespace, name, uid, audiences, bound } = subject;
    const claims: JsonObject = {
      aud: audiences,
      exp: now + lifetimeSeconds,
      iat: now,
      iss: tokenIssuer,
      jti: randomUUID(),
      'kubernetes.io': {
        namespace,
        serviceaccount: { name, uid },
        ...(bound === undefined ? {} : { [bound.kind.toLowerCase()]: { name: bound.name, uid: bound.uid } }),
      },
      nbf: now,
      sub: `system:serviceaccount:${namespace}:${name}`,
    };
    const signed = `${encode({ alg: 'ES256', kid: this.#kid, typ: 'JWT' })}.${encode(claims)}`;
    const signature = sign('sha256', Buffer.from(signed), { key: this.#key, dsaEncoding: 'ieee-p1363' });
    return {
      token: `${signed}.${signature.toString('base64url')}`,
      expiresMs: (now + lifetimeSeconds) * 1000,
    };
  }

  /** The subject of a token that is ours, in time, and whose account and bound object still exist. */
  verify(token: string): TokenSubject | undefined {
    const [head = '', body = '', signature, ...beyond] = token.split('.');
    if (signature === undefined || beyond.length > 0) return undefined;
    if (textAt(decode(head), 'alg') !== 'ES256') return undefined;
    const good = verify(
      'sha256',
      Buffer.from(`${head}.${body}`),
      { key: this.#publicKey, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    );
    if (!good) return undefined;
    const claims = decode(body);
    const now = this.#clock.wall() / 1000;
    if (claims === undefined || textAt(claims, 'iss') !== tokenIssuer) return undefined;
    if ((numberAt(claims, 'exp') ?? 0) <= now || (numberAt(claims, 'nbf') ?? 0) > now) return undefined;
    const own = at(claims, 'kubernetes.io');
    const namespace = textAt(own, 'namespace') ?? '';
    const name = textAt(own, 'serviceaccount', 'name') ?? '';
    const uid = textAt(own, 'serviceaccount', 'uid') ?? '';
    if (this.#store.get('/serviceaccounts', namespace, name)?.metadata.uid !== uid) return undefined;
    const bound = this.#boundObject(own);
    if (bound !== undefined && !this.#stillThere(namespace, bound)) return undefined;
    const jti = textAt(claims, 'jti') ?? '';
    return { namespace, name, uid, audiences: textsAt(claims, 'aud'), bound, jti };
  }

  #boundObject(own: Json | undefined): BoundObject | undefined {
    for (const kind of ['Pod', 'Secret', 'Node'] as const) {
      const name = textAt(own, kind.toLowerCase(), 'name');
      const uid = textAt(own, kind.toLowerCase(), 'uid');
      if (name !== undefined && uid !== undefined) return { kind, name, uid };
    }
    return undefined;
  }

  #stillThere(namespace: string, { kind, name, uid }: BoundObject): boolean {
    const object = this.#store.get(`/${kind.toLowerCase()}s`, kind === 'Node' ? '' : namespace, name);
    if (object?.metadata.uid !== uid) return false;
    if (!isTerminating(object)) return true;
    // A pod that is being deleted keeps its identity while it shuts down, and a minute beyond.
    const until = Date.parse(textAt(object, 'metadata', 'deletionTimestamp') ?? '') + 60_000;
    return this.#clock.wall() < until;
  }
}
