/**
 * The Status object of the API and the error that carries one. Every refusal of a request is an ApiError; the server
 * turns it into a response in one place.
 */
import { Faults, type StatusCause } from './faults.ts';
import type { Json, JsonObject } from './json.ts';

interface Target {
  name?: string;
  group?: string;
  /** The plural resource name in most errors, the kind in validation errors, as in Kubernetes. */
  kind?: string;
}

export class ApiError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details: JsonObject;

  constructor({
    code,
    reason,
    message,
    details = {},
  }: {
    code: number;
    reason: string;
    message: string;
    details?: JsonObject;
  }) {
    super(message);
    this.name = 'ApiError';
    this.code = code;
    this.reason = reason;
    this.details = details;
  }

  get status(): JsonObject {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
      ...(this.reason === '' ? {} : { reason: this.reason }),
      ...(Object.keys(this.details).length === 0 ? {} : { details: this.details }),
      code: this.code,
    };
  }
}

function detailsOf({ name, group, kind }: Target): JsonObject {
  return {
    ...(name === undefined || name === '' ? {} : { name }),
    ...(group === undefined || group === '' ? {} : { group }),
    ...(kind === undefined ? {} : { kind }),
  };
}

/** `pods`, or `deployments.apps`: how messages name a resource. */
function qualified({ group, kind }: Target): string {
  return group === undefined || group === '' ? (kind ?? '') : `${kind ?? ''}.${group}`;
}

export function success(details: JsonObject): JsonObject {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
}

export function badRequest(message: string): ApiError {
  return new ApiError({ code: 400, reason: 'BadRequest', message });
}

/** A query parameter, or a member of the options in a body, that the operation does not allow. */
export function invalidOptions(
  kind: 'CreateOptions' | 'UpdateOptions' | 'PatchOptions' | 'DeleteOptions' | 'ListOptions',
  report: (faults: Faults) => void,
): ApiError {
  const faults = new Faults();
  report(faults);
  return invalid({ group: 'meta.k8s.io', kind, name: '' }, faults.causes);
}

export function unauthorized(): ApiError {
  return new ApiError({ code: 401, reason: 'Unauthorized', message: 'Unauthorized' });
}

export function forbidden(target: Target, why: string, causes: StatusCause[] = []): ApiError {
  return new ApiError({
    code: 403,
    reason: 'Forbidden',
    message: `${qualified(target)}${target.name === undefined ? '' : ` "${target.name}"`} is forbidden: ${why}`,
    details: { ...detailsOf(target), ...(causes.length === 0 ? {} : { causes: causes as unknown as Json }) },
  });
}

export function notFound(target: Target): ApiError {
  return new ApiError({
    code: 404,
    reason: 'NotFound',
    message: `${qualified(target)} "${target.name ?? ''}" not found`,
    details: detailsOf(target),
  });
}

export function noSuchPath(): ApiError {
  return new ApiError({
    code: 404,
    reason: 'NotFound',
    message: 'the server could not find the requested resource',
  });
}

export function methodNotAllowed(): ApiError {
  return new ApiError({
    code: 405,
    reason: 'MethodNotAllowed',
    message: 'the server does not allow this method on the requested resource',
  });
}

export function notAcceptable(): ApiError {
  return new ApiError({
    code: 406,
    reason: 'NotAcceptable',
    message: 'only the following media types are accepted: application/json',
  });
}

export function alreadyExists(target: Target): ApiError {
  return new ApiError({
    code: 409,
    reason: 'AlreadyExists',
    message: `${qualified(target)} "${target.name ?? ''}" already exists`,
    details: detailsOf(target),
  });
}

export function conflict(target: Target, why: string, causes: StatusCause[] = []): ApiError {
  return new ApiError({
    code: 409,
    reason: 'Conflict',
    message: `Operation cannot be fulfilled on ${qualified(target)} "${target.name ?? ''}": ${why}`,
    details: { ...detailsOf(target), ...(causes.length === 0 ? {} : { causes: causes as unknown as Json }) },
  });
}

export function objectModified(target: Target): ApiError {
  return conflict(
    target,
    'the object has been modified; please apply your changes to the latest version and try again',
  );
}

export function expired(message: string, details: JsonObject = {}): ApiError {
  return new ApiError({ code: 410, reason: 'Expired', message, details });
}

export function tooLarge(limitBytes: number): ApiError {
  return new ApiError({
    code: 413,
    reason: 'RequestEntityTooLarge',
    message: `Request entity too large: limit is ${limitBytes}`,
  });
}

export function unsupportedMediaType(supported: readonly string[]): ApiError {
  return new ApiError({
    code: 415,
    reason: 'UnsupportedMediaType',
    message: `the body of the request was in an unknown format - accepted media types include: ${supported.join(', ')}`,
  });
}

/** 422 with one cause per fault; `kind` is the kind, not the resource. */
export function invalid(target: Target, causes: StatusCause[]): ApiError {
  const lines = causes.map(({ field, message }) => (field === undefined ? message : `${field}: ${message}`));
  return new ApiError({
    code: 422,
    reason: 'Invalid',
    message: `${qualified(target)} "${target.name ?? ''}" is invalid: ${
      lines.length === 1 ? lines[0] : `[${lines.join(', ')}]`
    }`,
    details: { ...detailsOf(target), causes: causes as unknown as Json },
  });
}

export function unprocessable(message: string): ApiError {
  return new ApiError({ code: 422, reason: 'Invalid', message });
}

export function internalError(message: string): ApiError {
  return new ApiError({
    code: 500,
    reason: 'InternalError',
    message: `Internal error occurred: ${message}`,
    details: { causes: [{ message }] },
  });
}
