/** What a request asks for, read from its method, path and query: the input of authorization and of routing. */

export interface RequestInfo {
  readonly method: string;
  /** Path without query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Undefined for paths outside /api/v1 and /apis/GROUP/VERSION/RESOURCE. */
  readonly resource: ResourceRequest | undefined;
  readonly verb: string;
}

export interface ResourceRequest {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
}

const namespaceSubresources: ReadonlySet<string> = new Set(['status', 'finalize']);

function parseResource(path: string): ResourceRequest | undefined {
  const segments = path.split('/').slice(1).map(decodeURIComponent);
  let rest: string[];
  let group = '';
  let version: string | undefined;
  if (segments[0] === 'api') {
    version = segments[1];
    rest = segments.slice(2);
  } else if (segments[0] === 'apis') {
    group = segments[1] ?? '';
    version = segments[2];
    rest = segments.slice(3);
  } else return undefined;
  if (version === undefined || rest.length === 0 || rest[0] === '') return undefined;
  let namespace = '';
  // /namespaces/NAME is the Namespace itself; /namespaces/NAME/PLURAL... lies inside it.
  if (rest[0] === 'namespaces' && rest.length > 2 && !namespaceSubresources.has(rest[2] ?? '')) {
    namespace = rest[1] ?? '';
    rest = rest.slice(2);
  }
  const [plural = '', name = '', subresource = '', ...beyond] = rest;
  if (beyond.length > 0) return undefined;
  return { group, version, plural, namespace, name, subresource };
}

function verbOf(method: string, resource: ResourceRequest | undefined, query: URLSearchParams): string {
  if (resource === undefined) return method.toLowerCase();
  const watched = query.get('watch');
  switch (method) {
    case 'GET':
    case 'HEAD':
      if (watched === 'true' || watched === '1') return 'watch';
      return resource.name === '' ? 'list' : 'get';
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return resource.name === '' ? 'deletecollection' : 'delete';
    default:
      return method.toLowerCase();
  }
}

/** Undefined when the path cannot be decoded. */
export function parseRequest(method: string, target: string): RequestInfo | undefined {
  const split = target.indexOf('?');
  const path = split === -1 ? target : target.slice(0, split);
  const query = new URLSearchParams(split === -1 ? '' : target.slice(split + 1));
  try {
    const resource = parseResource(path);
    return { method, path, query, resource, verb: verbOf(method, resource, query) };
  } catch {
    return undefined;
  }
}
