import type { IncomingMessage, ServerResponse } from 'node:http';
import type { User } from './authentication.ts';
import type { Json } from './json.ts';
import type { RequestInfo, ResourceRequest } from './request-info.ts';
import type { ResourceInfo } from './resources.ts';

/** One request that is authenticated and authorized, and its response. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly info: RequestInfo;
  readonly user: User;
  /** Adds a Warning header (RFC 7234 §5.5, code 299), which kubectl prints. */
  warn(message: string): void;
}

/** An exchange about a resource that this server has. */
export interface ResourceExchange extends Exchange {
  readonly resource: ResourceInfo;
  readonly target: ResourceRequest;
}

export function sendText(
  response: ServerResponse,
  code: number,
  text: string,
  type = 'application/json',
): void {
  response.writeHead(code, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-cache, private',
  });
  response.end(text);
}

export function sendJson(response: ServerResponse, code: number, value: Json): void {
  sendText(response, code, JSON.stringify(value));
}
