/**
 * Responses that a proxy or gateway makes itself, from one table: cause → HTTP status, gRPC status, text, and whether
 * the client's connection ends with it. Header names are Linkerd's, so that either data plane understands the other.
 */
import { getHeader } from './headers.ts';
import type { Headers, RequestHead, ResponseHead } from './message.ts';

/** Which proxy answered instead of the application. */
const proxyNameHeader = 'l5d-proxy-name';
const proxyConnectionHeader = 'l5d-proxy-connection';

export interface SyntheticCause {
  readonly status: number;
  /** gRPC status code (grpc/doc/statuscodes.md). */
  readonly grpcStatus: number;
  /** True: the client side closes its HTTP/1 connection after this response. */
  readonly closes: boolean;
  readonly message: string;
  /** What to do about it; for docs/errors.md. */
  readonly remedy: string;
  /** Nothing answers it yet: it waits for the policy that will. */
  readonly reserved?: true;
}

const grpc = {
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  internal: 13,
  unavailable: 14,
} as const;

export const syntheticCauses = {
  'no-route': {
    status: 404,
    grpcStatus: grpc.notFound,
    closes: false,
    message: 'no route matches the request',
    remedy: 'Add a route that matches, or send what a route matches.',
    reserved: true,
  },
  'unknown-service': {
    status: 404,
    grpcStatus: grpc.notFound,
    closes: false,
    message: 'the gateway serves no such export',
    remedy:
      'Label the Service `mirror.mesh.io/exported=true` in the cluster that was asked, and call a port that it has.',
  },
  unauthorized: {
    status: 403,
    grpcStatus: grpc.permissionDenied,
    closes: false,
    message: 'the client is not authorized',
    remedy:
      'Admit the caller in the policy of the workload or in the export; the reason is in the message and in the metric.',
  },
  'rate-limited': {
    status: 429,
    grpcStatus: grpc.resourceExhausted,
    closes: false,
    message: 'the rate limit is used up',
    remedy: 'Send less, or raise the limit of the policy.',
    reserved: true,
  },
  redirected: {
    status: 302,
    grpcStatus: grpc.notFound,
    closes: false,
    message: 'redirected',
    remedy: 'Follow `location`.',
    reserved: true,
  },
  'failure-injected': {
    status: 500,
    grpcStatus: grpc.failedPrecondition,
    closes: false,
    message: 'a failure was injected by policy',
    remedy: 'Remove the failure from the policy when the experiment is over.',
    reserved: true,
  },
  'policy-timeout': {
    status: 504,
    grpcStatus: grpc.deadlineExceeded,
    closes: false,
    message: 'a timeout of the route passed',
    remedy: 'Answer sooner, or raise the timeout of the route.',
    reserved: true,
  },
  'profile-timeout': {
    status: 504,
    grpcStatus: grpc.deadlineExceeded,
    closes: true,
    message: 'the timeout of the service profile passed',
    remedy: 'Answer sooner, or raise the timeout of the profile.',
    reserved: true,
  },
  failfast: {
    status: 504,
    grpcStatus: grpc.deadlineExceeded,
    closes: true,
    message: 'no endpoint became ready in time',
    remedy:
      'Look at the endpoints: the message has the last fault. Before discovery has answered: is the control plane reachable?',
  },
  'connect-timeout': {
    status: 504,
    grpcStatus: grpc.deadlineExceeded,
    closes: true,
    message: 'connecting to the endpoint took too long',
    remedy: 'Look for a firewall, a network policy or a machine that is gone between the two addresses.',
  },
  'no-endpoints': {
    status: 503,
    grpcStatus: grpc.unavailable,
    closes: true,
    message: 'the service has no endpoints',
    remedy: 'Start pods that the selector of the service matches, and see that they become ready.',
  },
  overloaded: {
    status: 503,
    grpcStatus: grpc.unavailable,
    closes: true,
    message: 'too many requests are in flight or queued',
    remedy: 'Add endpoints, send less, or raise `mesh.io/max-in-flight` where there is memory for it.',
  },
  'slow-body': {
    status: 408,
    grpcStatus: grpc.resourceExhausted,
    closes: true,
    message: 'the request body comes too slowly while others wait',
    remedy:
      'Send the body faster; or raise `mesh.io/max-in-flight`, so that slow bodies take no place that others need.',
  },
  'identity-required': {
    status: 502,
    grpcStatus: grpc.unavailable,
    closes: true,
    message: 'the endpoint does not have the required identity',
    remedy:
      'See what runs at the address: it proves another identity than discovery promised, or none of ours. If addresses were just reused, it passes.',
  },
  'endpoint-failed': {
    status: 502,
    grpcStatus: grpc.unavailable,
    closes: true,
    message: 'the connection to the endpoint failed',
    remedy: 'Look at the log of the endpoint: it closed, stalled or refused what it had been sent.',
  },
  'endpoint-protocol': {
    status: 502,
    grpcStatus: grpc.unavailable,
    closes: true,
    message: 'the endpoint broke the protocol',
    remedy: 'Mend the application at the endpoint; if it does not speak HTTP, mark its port opaque.',
  },
  loop: {
    status: 508,
    grpcStatus: grpc.aborted,
    closes: true,
    message: 'the request passed this gateway before',
    remedy: 'Look at the exports of both clusters: each sends the service to the other.',
  },
  'bad-request': {
    status: 400,
    grpcStatus: grpc.internal,
    closes: true,
    message: 'the request is malformed',
    remedy: 'Mend the client.',
  },
  unexpected: {
    status: 500,
    grpcStatus: grpc.internal,
    closes: true,
    message: 'unexpected failure',
    remedy: 'Look at the log of the proxy that `l5d-proxy-name` names.',
  },
} as const satisfies Record<string, SyntheticCause>;

export type SyntheticReason = keyof typeof syntheticCauses;

export interface SyntheticOptions {
  /** Whether the request was gRPC (see `isGrpc`): answer with trailers only, status 200. */
  grpc: boolean;
  /**
   * Who answers, for `l5d-proxy-name`. Empty where the client may not learn why, which leaves out `l5d-proxy-error` and
   * `grpc-message` as well: inbound, for all but meshed peers.
   */
  by: string;
  /** Replaces the table's message; any text, it is made safe for a field value. */
  message?: string;
  /** Replaces the table's HTTP status (redirects, injected failures). */
  status?: number;
  /** Replaces the table's gRPC status (injected failures). */
  grpcStatus?: number;
  /** Further fields, for example `location`. */
  headers?: Headers;
}

/** The whole response: send it with `respond(head, true)`. */
export function syntheticResponse(reason: SyntheticReason, options: SyntheticOptions): ResponseHead {
  const cause: SyntheticCause = syntheticCauses[reason];
  const message = options.message ?? cause.message;
  const headers: Headers = [];
  if (options.grpc) {
    headers.push('content-type', 'application/grpc');
    headers.push('grpc-status', String(options.grpcStatus ?? cause.grpcStatus));
    if (options.by !== '') headers.push('grpc-message', grpcMessage(message));
  }
  headers.push('content-length', '0');
  if (options.by !== '') headers.push('l5d-proxy-error', fieldText(message), proxyNameHeader, options.by);
  if (cause.closes) headers.push(proxyConnectionHeader, 'close');
  if (options.headers !== undefined) headers.push(...options.headers);
  return {
    status: options.grpc ? 200 : (options.status ?? cause.status),
    headers,
    closes: cause.closes,
  };
}

/** What ends a gRPC response that had begun. */
export function syntheticTrailers(
  reason: SyntheticReason,
  options: { by: string; message: string },
): Headers {
  const trailers: Headers = ['grpc-status', String(syntheticCauses[reason].grpcStatus)];
  if (options.by !== '') trailers.push('grpc-message', grpcMessage(options.message));
  return trailers;
}

/** Whether a proxy further on asks for the client's HTTP/1 connection to end with this response. */
export function asksToClose({ status, headers }: ResponseHead): boolean {
  // Only errors carry it; others are not searched.
  return status >= 400 && getHeader(headers, proxyConnectionHeader) === 'close';
}

/** True when the request speaks gRPC: content-type `application/grpc`, with a suffix or parameters or without. */
export function isGrpc(head: RequestHead): boolean {
  const type = getHeader(head.headers, 'content-type');
  if (type === undefined || !type.startsWith('application/grpc')) return false;
  const next = type.charAt('application/grpc'.length);
  return next === '' || next === '+' || next === ';' || next === ' ';
}

/** Text as a field value: visible ASCII and single spaces. */
function fieldText(text: string): string {
  return text.replaceAll(/[^\x21-\x7e]+/g, ' ').trim();
}

/** Text as `grpc-message` carries it: UTF-8, percent-encoded outside visible ASCII and space, and for `%` itself. */
function grpcMessage(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded.trim();
}
