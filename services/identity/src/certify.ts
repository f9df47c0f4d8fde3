/**
 * Certify: who are you (the token, reviewed by the API server), what do you ask for (the request), may you have it.
 *
 * Checks run from cheap to expensive; whoever fails one learns which. Nothing of the request but its public key goes
 * into the certificate.
 */
import type { Clock } from '@mesh/clock/clock';
import { type Authority, signLeaf } from '@mesh/ca/authority';
import type { LoadedIssuer } from '@mesh/ca/issuer-check';
import { checkCsr } from '@mesh/ca/signing-request';
import type { LimitLedger } from '@mesh/limits/limits';
import { isDnsLabel, parseIdentity, type PeerIdentity, tokenAudience } from '@mesh/trust/names';
import type { IdentityLimit } from './limits.ts';
import { RateLimiter } from './rate-limiter.ts';

export interface CertifyRequest {
  readonly identity: string;
  readonly token: Uint8Array;
  /** PKCS #10 in DER. */
  readonly certificateSigningRequest: Uint8Array;
}

export interface Certified {
  readonly leaf: Buffer;
  /** DER, in order from the issuer upwards, without the anchor. */
  readonly intermediates: readonly Buffer[];
  /** Wall-clock milliseconds. */
  readonly validUntil: number;
  readonly serial: string;
}

export type RefusalCode =
  | 'invalidArgument'
  | 'unauthenticated'
  | 'permissionDenied'
  | 'resourceExhausted'
  | 'unavailable';

/** A refusal; `reason` is a metric label, `message` is for the client and names no secret. */
export interface CertifyRefusal {
  readonly code: RefusalCode;
  readonly reason: string;
  readonly message: string;
}

/** What the API server says about a token (authentication.k8s.io/v1 TokenReview status). */
export interface TokenVerdict {
  readonly authenticated?: boolean;
  readonly audiences?: readonly string[];
  readonly error?: string;
  readonly user?: {
    readonly username?: string;
    readonly extra?: Readonly<Record<string, readonly string[]>>;
  };
}

export interface CertifierOptions {
  readonly cluster: string;
  readonly suffix: string;
  readonly clock: Clock;
  readonly limits: LimitLedger<IdentityLimit>;
  readonly lifetimeMs: number;
  /** Rejects when the API server cannot be asked. */
  readonly reviewToken: (token: string, audiences: string[]) => Promise<TokenVerdict>;
  readonly issuer: () => LoadedIssuer | undefined;
  /** Told of every certificate, for the log. */
  readonly onIssued?: (issued: {
    identity: string;
    pod: string | undefined;
    serial: string;
    validUntil: number;
  }) => void;
}

const refuse = (code: RefusalCode, reason: string, message: string): CertifyRefusal => ({
  code,
  reason,
  message,
});
const podUid = 'authentication.kubernetes.io/pod-uid';
const podName = 'authentication.kubernetes.io/pod-name';

export class Certifier {
  readonly #options: CertifierOptions;
  readonly #perPod: RateLimiter;
  readonly #perIdentity: RateLimiter;
  #reviews = 0;

  constructor(options: CertifierOptions) {
    this.#options = options;
    const { clock, limits } = options;
    const {
      identity_pod_certificates_per_minute,
      identity_certificates_per_minute,
      identity_rate_entries: maxEntries,
    } = limits.values;
    const onForgotten = (): void => limits.hit('identity_rate_entries');
    this.#perPod = new RateLimiter({
      clock,
      perMinute: identity_pod_certificates_per_minute,
      maxEntries,
      onForgotten,
    });
    this.#perIdentity = new RateLimiter({
      clock,
      perMinute: identity_certificates_per_minute,
      maxEntries,
      onForgotten,
    });
  }

  async certify(request: CertifyRequest): Promise<Certified | CertifyRefusal> {
    const { suffix, cluster } = this.#options;
    const wanted = parseIdentity(request.identity, suffix);
    if (wanted === undefined) {
      return refuse('invalidArgument', 'identity', `${quote(request.identity)} is no identity of this mesh`);
    }
    if (wanted.cluster !== cluster) {
      return refuse(
        'permissionDenied',
        'cluster',
        `${wanted.name} belongs to cluster ${wanted.cluster}, this is ${cluster}`,
      );
    }
    const checked = checkCsr(Buffer.from(request.certificateSigningRequest), wanted.name);
    if ('fault' in checked) return refuse('invalidArgument', 'request', checked.fault);
    const caller = await this.#authenticate(request.token);
    if ('code' in caller) return caller;
    if (caller.serviceAccount !== wanted.serviceAccount || caller.namespace !== wanted.namespace) {
      return refuse(
        'permissionDenied',
        'other-identity',
        `the token is for ServiceAccount ${caller.namespace}/${caller.serviceAccount}, which is not ${wanted.name}`,
      );
    }
    const limited = this.#limited(wanted, caller.uid);
    if (limited !== undefined) return limited;
    const issuer = this.#options.issuer();
    if (issuer === undefined)
      return refuse('unavailable', 'issuer', 'there is no usable issuer now; try again');
    return this.#sign(issuer, wanted, { spki: checked.spki, pod: caller.pod });
  }

  async #authenticate(token: Uint8Array): Promise<Caller | CertifyRefusal> {
    const { limits, reviewToken } = this.#options;
    if (token.length === 0) return refuse('unauthenticated', 'token', 'the request has no token');
    if (token.length > limits.values.identity_token_bytes) {
      limits.hit('identity_token_bytes');
      return refuse(
        'invalidArgument',
        'token',
        `the token has ${token.length} bytes, at most ${limits.values.identity_token_bytes} are read`,
      );
    }
    const text = Buffer.from(token).toString('latin1').trim();
    if (!/^[\x21-\x7e]+$/.test(text))
      return refuse('unauthenticated', 'token', 'the token is not printable text');
    if (this.#reviews >= limits.values.identity_token_reviews) {
      limits.hit('identity_token_reviews');
      return refuse('resourceExhausted', 'reviews', 'too many token reviews are in progress; try again');
    }
    this.#reviews++;
    try {
      return readVerdict(await reviewToken(text, [tokenAudience]));
    } catch {
      return refuse('unavailable', 'review', 'the API server could not be asked about the token; try again');
    } finally {
      this.#reviews--;
    }
  }

  #limited(wanted: PeerIdentity, uid: string | undefined): CertifyRefusal | undefined {
    const { limits } = this.#options;
    if (uid !== undefined && !this.#perPod.take(uid)) {
      limits.hit('identity_pod_certificates_per_minute');
      return refuse(
        'resourceExhausted',
        'pod-rate',
        `this pod had ${limits.values.identity_pod_certificates_per_minute} certificates within a minute (identity_pod_certificates_per_minute)`,
      );
    }
    if (!this.#perIdentity.take(wanted.name)) {
      limits.hit('identity_certificates_per_minute');
      return refuse(
        'resourceExhausted',
        'identity-rate',
        `${wanted.name} had ${limits.values.identity_certificates_per_minute} certificates within a minute (identity_certificates_per_minute)`,
      );
    }
    return undefined;
  }

  #sign(
    issuer: Authority & Pick<LoadedIssuer, 'chainDers'>,
    { name: identity }: PeerIdentity,
    { spki, pod }: { spki: Buffer; pod: string | undefined },
  ): Certified {
    const { clock, lifetimeMs, onIssued } = this.#options;
    const leaf = signLeaf({ issuer, spki, identity, clock, lifetimeMs });
    onIssued?.({ identity, pod, serial: leaf.serial, validUntil: leaf.notAfter });
    return {
      leaf: leaf.der,
      intermediates: issuer.chainDers,
      validUntil: leaf.notAfter,
      serial: leaf.serial,
    };
  }
}

interface Caller {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** UID of the pod the token is bound to; undefined for an unbound token. */
  readonly uid: string | undefined;
  readonly pod: string | undefined;
}

function readVerdict(verdict: TokenVerdict): Caller | CertifyRefusal {
  if (verdict.authenticated !== true) {
    return refuse(
      'unauthenticated',
      'token',
      `the API server did not accept the token; it may have expired, or not be for audience ${tokenAudience}`,
    );
  }
  // An API server without audience support answers without audiences; a token for anyone is not one for us.
  if (verdict.audiences?.includes(tokenAudience) !== true) {
    return refuse('unauthenticated', 'audience', `the token is not for audience ${tokenAudience}`);
  }
  const parts = (verdict.user?.username ?? '').split(':');
  const [system, kind, namespace, serviceAccount] = parts;
  if (
    parts.length !== 4 ||
    system !== 'system' ||
    kind !== 'serviceaccount' ||
    namespace === undefined ||
    serviceAccount === undefined
  ) {
    return refuse('permissionDenied', 'not-a-service-account', 'the token is not of a ServiceAccount');
  }
  if (!isDnsLabel(namespace) || !isDnsLabel(serviceAccount)) {
    return refuse(
      'permissionDenied',
      'name',
      `ServiceAccount ${namespace}/${quote(serviceAccount)} is no DNS label`,
    );
  }
  const extra = verdict.user?.extra;
  return { namespace, serviceAccount, uid: extra?.[podUid]?.[0], pod: extra?.[podName]?.[0] };
}

function quote(text: string): string {
  return JSON.stringify(text.length > 260 ? `${text.slice(0, 260)}…` : text);
}
