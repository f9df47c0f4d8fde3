import { MeshError } from '@mesh/errors/mesh-error';
import type { StatusBody } from './types.ts';

interface Answer {
  status: number;
  /** `GET /api/v1/...`, without the query. */
  request: string;
  body: string;
  retryAfter?: string | undefined;
}

/** The API server answered with a failure. `status` is the HTTP code, `reason` the machine-readable word of it. */
export class KubeApiError extends MeshError {
  readonly status: number;
  readonly reason: string;
  readonly details: StatusBody['details'];
  /** Milliseconds the server asks to wait before another try (429, 503). */
  readonly retryAfterMs: number | undefined;

  constructor({ status, request, body, retryAfter }: Answer) {
    const parsed = parseStatus(body);
    const reason = parsed?.reason ?? reasonOf(status);
    const text = parsed?.message ?? body.slice(0, 300).trim();
    super('kube-api', `${request}: ${status} ${reason}${text === '' ? '' : `: ${text}`}`);
    this.name = 'KubeApiError';
    this.status = status;
    this.reason = reason;
    this.details = parsed?.details;
    const seconds = Number(retryAfter ?? parsed?.details?.retryAfterSeconds ?? Number.NaN);
    this.retryAfterMs = Number.isFinite(seconds) ? seconds * 1000 : undefined;
  }
}

function parseStatus(body: string): StatusBody | undefined {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === 'object' && parsed !== null && 'kind' in parsed && parsed.kind === 'Status') {
      return parsed as StatusBody;
    }
  } catch {
    // proxies in front of an API server answer in plain text
  }
  return undefined;
}

const reasons: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  409: 'Conflict',
  410: 'Gone',
  413: 'RequestEntityTooLarge',
  415: 'UnsupportedMediaType',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

function reasonOf(status: number): string {
  return reasons[status] ?? 'Unknown';
}

export function isNotFound(thrown: unknown): boolean {
  return thrown instanceof KubeApiError && thrown.status === 404;
}

/** The stored object changed since it was read: read again and decide again. */
export function isConflict(thrown: unknown): boolean {
  return thrown instanceof KubeApiError && thrown.status === 409 && thrown.reason !== 'AlreadyExists';
}

export function isAlreadyExists(thrown: unknown): boolean {
  return thrown instanceof KubeApiError && thrown.reason === 'AlreadyExists';
}

/** The resourceVersion or the continue token is too old: list from the start. */
export function isExpired(thrown: unknown): boolean {
  return (
    thrown instanceof KubeApiError &&
    (thrown.status === 410 || thrown.reason === 'Expired' || thrown.reason === 'Gone')
  );
}
