/** Requests whose answer is computed: token and access reviews, and tokens themselves. */
import { serviceAccountUser, type User } from './authentication.ts';
import {
  at,
  clone,
  isObject,
  numberAt,
  objectAt,
  textAt,
  textsAt,
  type Json,
  type JsonObject,
  listAt,
} from './json.ts';
import { Faults } from './faults.ts';
import type { KubeObject } from './object.ts';
import { timestamp } from './object.ts';
import type { Attributes, RbacAuthorizer } from './rbac.ts';
import { invalid, notFound, conflict, badRequest } from './status.ts';
import type { Store } from './store.ts';
import { tokenIssuer, type BoundObject, type ServiceAccountTokens } from './tokens.ts';

interface ReviewsOptions {
  store: Store;
  tokens: ServiceAccountTokens;
  authorizer: RbacAuthorizer;
}

const shortestToken = 600;
const defaultTokenSeconds = 3600;
const longestToken = 2 ** 32;

export class Reviews {
  readonly #store: Store;
  readonly #tokens: ServiceAccountTokens;
  readonly #authorizer: RbacAuthorizer;

  constructor({ store, tokens, authorizer }: ReviewsOptions) {
    this.#store = store;
    this.#tokens = tokens;
    this.#authorizer = authorizer;
  }

  /** The review with its status filled in. */
  answer(review: KubeObject, user: User, namespace: string): JsonObject {
    const { kind } = review;
    const spec = at(review, 'spec');
    const base: JsonObject = { ...clone(review), metadata: {} };
    switch (kind) {
      case 'TokenReview':
        return { ...base, status: this.#tokenReview(spec) };
      case 'SelfSubjectReview':
        return { ...base, status: { userInfo: userInfo(user) } };
      case 'SelfSubjectAccessReview':
        return { ...base, status: this.#access(user, attributesOf(spec)) };
      case 'SelfSubjectRulesReview':
        return { ...base, status: this.#rules(user, textAt(spec, 'namespace') ?? '') };
      case 'LocalSubjectAccessReview':
        if (textAt(spec, 'resourceAttributes', 'namespace') !== namespace) {
          throw badRequest('spec.resourceAttributes.namespace must match the namespace of the request');
        }
        return { ...base, status: this.#access(subjectOf(spec), attributesOf(spec)) };
      default:
        requireSubject(spec);
        return { ...base, status: this.#access(subjectOf(spec), attributesOf(spec)) };
    }
  }

  /** TokenRequest for a ServiceAccount. @throws ApiError 404, 409 or 422 */
  token(request: KubeObject, namespace: string, name: string): JsonObject {
    const account = this.#store.get('/serviceaccounts', namespace, name);
    if (account === undefined) throw notFound({ kind: 'serviceaccounts', name });
    const spec = at(request, 'spec');
    const seconds = numberAt(spec, 'expirationSeconds') ?? defaultTokenSeconds;
    const faults = new Faults();
    if (seconds < shortestToken) {
      faults.invalid('spec.expirationSeconds', seconds, 'may not specify a duration less than 10 minutes');
    }
    if (seconds > longestToken) {
      faults.invalid(
        'spec.expirationSeconds',
        seconds,
        'may not specify a duration larger than 2^32 seconds',
      );
    }
    if (faults.causes.length > 0) {
      throw invalid({ name: '', group: 'authentication.k8s.io', kind: 'TokenRequest' }, faults.causes);
    }
    const asked = textsAt(spec, 'audiences');
    const audiences = asked.length === 0 ? [tokenIssuer] : asked;
    const bound = this.#bound(at(spec, 'boundObjectRef'), namespace, account);
    const { token, expiresMs } = this.#tokens.issue(
      { namespace, name, uid: account.metadata.uid, audiences, bound },
      seconds,
    );
    return {
      kind: 'TokenRequest',
      apiVersion: 'authentication.k8s.io/v1',
      metadata: { name, namespace },
      spec: {
        ...(isObject(spec) ? clone(spec) : {}),
        audiences,
        boundObjectRef: at(spec, 'boundObjectRef') ?? null,
        expirationSeconds: seconds,
      },
      status: { token, expirationTimestamp: timestamp(expiresMs) },
    };
  }

  #bound(reference: Json | undefined, namespace: string, account: KubeObject): BoundObject | undefined {
    if (!isObject(reference)) return undefined;
    const kind = textAt(reference, 'kind');
    const name = textAt(reference, 'name') ?? '';
    if (kind !== 'Pod' && kind !== 'Secret' && kind !== 'Node') {
      throw badRequest(`cannot bind token for serviceaccount to object of type ${kind ?? ''}`);
    }
    const plural = `${kind.toLowerCase()}s`;
    const object = this.#store.get(`/${plural}`, kind === 'Node' ? '' : namespace, name);
    if (object === undefined) throw notFound({ kind: plural, name });
    const wanted = textAt(reference, 'uid') ?? '';
    if (wanted !== '' && wanted !== object.metadata.uid) {
      throw conflict(
        { kind: plural, name },
        `the UID in the bound object reference (${wanted}) does not match the UID in record. The object might have been deleted and then recreated`,
      );
    }
    if (kind === 'Pod' && textAt(object, 'spec', 'serviceAccountName') !== account.metadata.name) {
      throw badRequest(
        `cannot bind token for serviceaccount "${account.metadata.name}" to pod running with different serviceaccount name.`,
      );
    }
    return { kind, name, uid: object.metadata.uid };
  }

  #tokenReview(spec: Json | undefined): JsonObject {
    const subject = this.#tokens.verify(textAt(spec, 'token') ?? '');
    const asked = textsAt(spec, 'audiences');
    const wanted = asked.length === 0 ? [tokenIssuer] : asked;
    const audiences = subject?.audiences.filter((audience) => wanted.includes(audience)) ?? [];
    if (subject === undefined) return { user: {}, error: 'invalid bearer token' };
    if (audiences.length === 0) {
      return {
        user: {},
        error: `[invalid bearer token, token audiences ${shown(subject.audiences)} is invalid for the target audiences ${shown(wanted)}]`,
      };
    }
    return { authenticated: true, user: userInfo(serviceAccountUser(subject)), audiences };
  }

  #access(user: User, wanted: Attributes): JsonObject {
    const { allowed, reason } = this.#authorizer.authorize(user, wanted);
    return { allowed, ...(reason === '' ? {} : { reason }) };
  }

  #rules(user: User, namespace: string): JsonObject {
    const resourceRules: Json[] = [];
    const nonResourceRules: Json[] = [];
    if (user.groups.includes('system:masters')) {
      resourceRules.push({ verbs: ['*'], apiGroups: ['*'], resources: ['*'] });
      nonResourceRules.push({ verbs: ['*'], nonResourceURLs: ['*'] });
    }
    for (const { rule } of this.#authorizer.rulesOf(user, namespace)) {
      (textsAt(rule, 'nonResourceURLs').length > 0 ? nonResourceRules : resourceRules).push(rule);
    }
    return { resourceRules, nonResourceRules, incomplete: false };
  }
}

function userInfo({ name, uid, groups, extra }: User): JsonObject {
  return {
    username: name,
    ...(uid === '' ? {} : { uid }),
    groups: [...groups],
    ...(Object.keys(extra).length === 0
      ? {}
      : { extra: Object.fromEntries(Object.entries(extra).map(([key, values]) => [key, [...values]])) }),
  };
}

function subjectOf(spec: Json | undefined): User {
  return {
    name: textAt(spec, 'user') ?? '',
    uid: textAt(spec, 'uid') ?? '',
    groups: textsAt(spec, 'groups'),
    extra: {},
  };
}

function attributesOf(spec: Json | undefined): Attributes {
  const path = objectAt(spec, 'nonResourceAttributes');
  if (path !== undefined) return { verb: textAt(path, 'verb') ?? '', path: textAt(path, 'path') ?? '' };
  const resource = at(spec, 'resourceAttributes');
  if (!isObject(resource)) {
    throw badRequest(
      'exactly one of spec.resourceAttributes and spec.nonResourceAttributes must be specified',
    );
  }
  return {
    verb: textAt(resource, 'verb') ?? '',
    group: textAt(resource, 'group') ?? '',
    resource: textAt(resource, 'resource') ?? '',
    subresource: textAt(resource, 'subresource') ?? '',
    namespace: textAt(resource, 'namespace') ?? '',
    name: textAt(resource, 'name') ?? '',
  };
}

/** @throws ApiError 422 for a review of nobody */
function requireSubject(spec: Json | undefined): void {
  if ((textAt(spec, 'user') ?? '') !== '' || listAt(spec, 'groups').length > 0) return;
  const faults = new Faults();
  faults.invalid('spec.user', '', 'at least one of user or group must be specified');
  throw invalid({ name: '', group: 'authorization.k8s.io', kind: '' }, faults.causes);
}

/** A list as Kubernetes prints it: without commas. */
function shown(texts: readonly string[]): string {
  return `[${texts.map((text) => JSON.stringify(text)).join(' ')}]`;
}
