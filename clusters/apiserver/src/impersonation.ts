/** `Impersonate-User` and `Impersonate-Group`: acting as somebody else, where RBAC allows `impersonate`. */
import type { IncomingMessage } from 'node:http';
import type { User } from './authentication.ts';
import { denial, type Attributes, type RbacAuthorizer } from './rbac.ts';
import { badRequest, forbidden } from './status.ts';

function values(request: IncomingMessage, name: string): string[] {
  return (request.headersDistinct[name] ?? []).filter((value) => value !== '');
}

/** @throws ApiError 400 or 403 */
export function impersonate(request: IncomingMessage, user: User, authorizer: RbacAuthorizer): User {
  const [name] = values(request, 'impersonate-user');
  const groups = values(request, 'impersonate-group');
  if (name === undefined) {
    if (groups.length > 0) {
      const shown = groups.map((group) => `{Group  ${group}    }`).join(' ');
      throw badRequest(`requested [${shown}] without impersonating a user`);
    }
    return user;
  }
  const check = (wanted: Attributes): void => {
    if (authorizer.authorize(user, wanted).allowed) return;
    throw forbidden({ kind: wanted.resource ?? '', name: wanted.name ?? '' }, denial(user, wanted));
  };
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name);
  const verb = 'impersonate';
  if (account === null) check({ verb, group: '', resource: 'users', name });
  else {
    const [, namespace = '', accountName = ''] = account;
    check({ verb, group: '', resource: 'serviceaccounts', namespace, name: accountName });
  }
  for (const group of groups) check({ verb, group: '', resource: 'groups', name: group });
  const implied =
    account === null ? [] : ['system:serviceaccounts', `system:serviceaccounts:${account[1] ?? ''}`];
  const standing = name === 'system:anonymous' ? 'system:unauthenticated' : 'system:authenticated';
  return { name, uid: '', groups: [...new Set([...groups, ...implied, standing])], extra: {} };
}
