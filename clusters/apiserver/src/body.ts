/** Request bodies: bounded, JSON or YAML, with the duplicate members that strict field validation refuses. */
import type { IncomingMessage } from 'node:http';
import { parseDocument } from 'yaml';
import type { LimitLedger } from '@mesh/limits/limits';
import { duplicateFields } from './duplicate-fields.ts';
import type { Json } from './json.ts';
import type { ApiserverLimit } from './limits.ts';
import { decodeProtobuf, protobufType } from './protobuf.ts';
import { ApiError, badRequest, tooLarge, unsupportedMediaType } from './status.ts';

/** What an object may be written in. */
const objectTypes = ['application/json', 'application/yaml', protobufType];

export interface Body {
  readonly value: Json | undefined;
  /** Paths of members that occur more than once. */
  readonly duplicates: readonly string[];
}

export function mediaType(request: IncomingMessage): string {
  return (request.headers['content-type'] ?? 'application/json').split(';')[0]?.trim().toLowerCase() ?? '';
}

async function readBytes(request: IncomingMessage, limits: LimitLedger<ApiserverLimit>): Promise<Buffer> {
  const most = limits.values.apiserver_request_body_bytes;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > most) {
      limits.hit('apiserver_request_body_bytes');
      throw tooLarge(most);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function fromYaml(text: string): Body {
  const document = parseDocument(text, { uniqueKeys: false, merge: true });
  const fault = document.errors[0];
  if (fault !== undefined) throw badRequest(`error decoding YAML: ${fault.message}`);
  const repeated = parseDocument(text, { merge: true }).errors.filter(({ code }) => code === 'DUPLICATE_KEY');
  return {
    value: document.toJS() as Json,
    duplicates: repeated.map(({ linePos }) => `line ${linePos?.[0].line ?? 0}`),
  };
}

function fromProtobuf(bytes: Buffer): Json | undefined {
  if (bytes.length === 0) return undefined;
  const result = decodeProtobuf(bytes);
  if (result.kind === 'ok') return result.object;
  if (result.kind === 'malformed') throw badRequest(`error decoding protobuf: ${result.fault}`);
  throw new ApiError({
    code: 415,
    reason: 'UnsupportedMediaType',
    message: `this server does not read ${result.fault} from protobuf; send the object as JSON or YAML, for example with kubectl create -f`,
  });
}

/**
 * @param yaml media types whose body is YAML (of which JSON is a subset)
 * @throws ApiError 400, 413 or 415
 */
export async function readBody(
  request: IncomingMessage,
  limits: LimitLedger<ApiserverLimit>,
  { json, yaml }: { json: readonly string[]; yaml: readonly string[] },
): Promise<Body> {
  const type = mediaType(request);
  if (!json.includes(type) && !yaml.includes(type)) {
    throw unsupportedMediaType(json.includes(protobufType) ? objectTypes : [...json, ...yaml]);
  }
  const bytes = await readBytes(request, limits);
  if (type === protobufType) return { value: fromProtobuf(bytes), duplicates: [] };
  const text = bytes.toString('utf8');
  if (text.trim() === '') return { value: undefined, duplicates: [] };
  if (yaml.includes(type) && !text.trimStart().startsWith('{')) return fromYaml(text);
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : '';
    throw badRequest(`the object provided is unrecognized: it is not JSON: ${why}`);
  }
  return { value, duplicates: duplicateFields(text) };
}
