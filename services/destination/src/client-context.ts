/** Who asks, as the requests of the control API say it: JSON {"ns","pod","nodeName"} or the older `ns:pod`. */

export interface ClientContext {
  readonly namespace: string | undefined;
  readonly pod: string | undefined;
  readonly nodeName: string | undefined;
}

/** What cannot be read is left undefined: the context only refines answers. */
export function parseContextToken(token: string): ClientContext {
  const nothing = { namespace: undefined, pod: undefined, nodeName: undefined };
  if (token.startsWith('ns:')) return { ...nothing, namespace: token.slice(3) };
  const fields = parseJsonObject(token);
  if (fields === undefined) return nothing;
  return { namespace: text(fields['ns']), pod: text(fields['pod']), nodeName: text(fields['nodeName']) };
}

/** Undefined when `workload` names no pod. */
export function parseWorkload(workload: string): { namespace: string; pod: string } | undefined {
  const fields = parseJsonObject(workload);
  const plain = /^([^:{}]+):([^:{}]+)$/.exec(workload);
  const namespace = text(fields?.['ns']) ?? plain?.[1];
  const pod = text(fields?.['pod']) ?? plain?.[2];
  return namespace === undefined || pod === undefined ? undefined : { namespace, pod };
}

function parseJsonObject(json: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(json);
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** A name of Kubernetes, which has at most 253 characters (RFC 1123 subdomain): some are kept as long as a stream lasts. */
function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && value.length <= 253 ? value : undefined;
}
