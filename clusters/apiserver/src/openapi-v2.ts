/**
 * /openapi/v2, the older form of the API's description, which kubectl before 1.27 asks for before it applies anything
 * (Debian 12 ships 1.20). It holds no definitions: such a client then leaves the check of fields to the server. Who can
 * read the newer form finds everything there.
 */
import type { ServerResponse } from 'node:http';
import { sendJson, sendText } from './exchange.ts';

/** Clients ask with an `@` before the version, which is no media type; answers carry a dot. */
const protobufType = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
const [title, version] = ['Kubernetes', 'unversioned'];

/** One length-delimited field of a protobuf message; short enough for one byte of length. */
function field(number: number, text: string): string {
  return String.fromCharCode(number * 8 + 2, text.length) + text;
}

/** `openapi.v2.Document` with `swagger` (1) and `info` (2); every byte is ASCII. */
const document = field(1, '2.0') + field(2, field(1, title) + field(2, version));

export function sendOpenApiV2(response: ServerResponse, accept: string): void {
  if (accept.includes('proto-openapi.spec.v2')) sendText(response, 200, document, protobufType);
  else sendJson(response, 200, { swagger: '2.0', info: { title, version }, paths: {} });
}
