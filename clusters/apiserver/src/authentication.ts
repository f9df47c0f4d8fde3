/** Who is asking: client certificate, bearer token, or nobody. */
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { unauthorized } from './status.ts';
import { tokenIssuer, type ServiceAccountTokens, type TokenSubject } from './tokens.ts';

export interface User {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

const anonymous: User = {
  name: 'system:anonymous',
  uid: '',
  groups: ['system:unauthenticated'],
  extra: {},
};

/** The user of a ServiceAccount token. */
export function serviceAccountUser({ namespace, name, uid, bound, jti }: TokenSubject): User {
  const prefix = 'authentication.kubernetes.io';
  return {
    name: `system:serviceaccount:${namespace}:${name}`,
    uid,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
    extra: {
      [`${prefix}/credential-id`]: [`JTI=${jti}`],
      ...(bound?.kind === 'Pod'
        ? { [`${prefix}/pod-name`]: [bound.name], [`${prefix}/pod-uid`]: [bound.uid] }
        : {}),
    },
  };
}

/** `CN` is the user, each `O` a group. Undefined without a certificate. @throws ApiError 401 for a foreign one. */
function certificateUser(socket: TLSSocket): User | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  if (!socket.authorized) throw unauthorized();
  const lines = certificate.subject.split('\n');
  const values = (attribute: string): string[] =>
    lines.filter((line) => line.startsWith(`${attribute}=`)).map((line) => line.slice(attribute.length + 1));
  const name = values('CN')[0];
  if (name === undefined) throw unauthorized();
  return { name, uid: '', groups: [...values('O'), 'system:authenticated'], extra: {} };
}

/** @throws ApiError 401 for credentials that are presented and not good. */
export function authenticate(request: IncomingMessage, tokens: ServiceAccountTokens): User {
  if (request.socket instanceof TLSSocket) {
    const user = certificateUser(request.socket);
    if (user !== undefined) return user;
  }
  const authorization = request.headers.authorization;
  if (authorization === undefined) return anonymous;
  const token = /^Bearer +([^ ]+)$/i.exec(authorization)?.[1];
  const subject = token === undefined ? undefined : tokens.verify(token);
  if (subject === undefined || !subject.audiences.includes(tokenIssuer)) throw unauthorized();
  return serviceAccountUser(subject);
}
