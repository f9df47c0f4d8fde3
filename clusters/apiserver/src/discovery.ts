/** Discovery documents, and the part of OpenAPI v3 that kubectl reads before it writes. */
import { createHash } from 'node:crypto';
import { builtinSchema } from './builtin-schema.ts';
import type { Json, JsonObject } from './json.ts';
import { groupVersion, type ResourceInfo, type ResourceRegistry } from './resources.ts';

const storedVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const subresourceVerbs = ['get', 'patch', 'update'];

export function coreVersions(address: string): JsonObject {
  return {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: address }],
  };
}

function groupDocument(name: string, versions: readonly string[]): JsonObject {
  const entries = versions.map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: entries, preferredVersion: entries[0] ?? null };
}

export function groupList(registry: ResourceRegistry): JsonObject {
  const groups = [...registry.groups()].filter(([name]) => name !== '');
  return {
    kind: 'APIGroupList',
    apiVersion: 'v1',
    groups: groups.map(([name, versions]) => groupDocument(name, versions)),
  };
}

export function oneGroup(registry: ResourceRegistry, name: string): JsonObject | undefined {
  const versions = name === '' ? undefined : registry.groups().get(name);
  return versions && { kind: 'APIGroup', apiVersion: 'v1', ...groupDocument(name, versions) };
}

/** Namespaces are deleted one by one. */
export function offers({ kind, group }: ResourceInfo, verb: string): boolean {
  return verb !== 'deletecollection' || kind !== 'Namespace' || group !== '';
}

function entriesOf(info: ResourceInfo): JsonObject[] {
  const { plural, singular, kind, namespaced, shortNames, categories } = info;
  const entries: JsonObject[] = [
    {
      name: plural,
      singularName: singular,
      namespaced,
      kind,
      verbs: info.review ? ['create'] : storedVerbs.filter((verb) => offers(info, verb)),
      ...(shortNames.length === 0 ? {} : { shortNames: [...shortNames] }),
      ...(categories.length === 0 ? {} : { categories: [...categories] }),
      ...(info.review
        ? {}
        : {
            storageVersionHash: createHash('sha256')
              .update(`${info.group}/${plural}`)
              .digest('base64')
              .slice(0, 12),
          }),
    },
  ];
  if (info.status) {
    entries.push({
      name: `${plural}/status`,
      singularName: '',
      namespaced,
      kind,
      verbs: [...subresourceVerbs],
    });
  }
  if (info.scale !== undefined) {
    entries.push({
      name: `${plural}/scale`,
      singularName: '',
      namespaced,
      group: 'autoscaling',
      version: 'v1',
      kind: 'Scale',
      verbs: [...subresourceVerbs],
    });
  }
  for (const { name, kind: subKind, verbs, group, version } of info.extra) {
    entries.push({
      name: `${plural}/${name}`,
      singularName: '',
      namespaced,
      ...(group === undefined ? {} : { group }),
      ...(version === undefined ? {} : { version }),
      kind: subKind,
      verbs: [...verbs],
    });
  }
  return entries;
}

export function resourceList(
  registry: ResourceRegistry,
  group: string,
  version: string,
): JsonObject | undefined {
  const infos = registry.all().filter((info) => info.group === group && info.version === version);
  if (infos.length === 0) return undefined;
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: group === '' ? version : `${group}/${version}`,
    resources: infos.flatMap(entriesOf),
  };
}

const openApiPath = (apiVersion: string): string =>
  apiVersion.includes('/') ? `apis/${apiVersion}` : `api/${apiVersion}`;

/** /openapi/v3: where the document of each group version is. */
export function openApiRoot(registry: ResourceRegistry): JsonObject {
  const paths: JsonObject = {};
  for (const info of registry.all()) {
    const path = openApiPath(groupVersion(info));
    const document = JSON.stringify(openApiDocument(registry, path));
    const hash = createHash('sha256').update(document).digest('hex').toUpperCase();
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
  }
  return { paths };
}

const schemaName = (info: ResourceInfo): string =>
  [...(info.group === '' ? ['core'] : info.group.split('.').toReversed()), info.version, info.kind].join('.');

const queryParameter = (name: string): JsonObject => ({
  name,
  in: 'query',
  schema: { type: 'string', uniqueItems: true },
});

/**
 * The document of one group version. It says which kinds take `fieldValidation` (so kubectl leaves the check of
 * fields to the server) and carries the schemas: of built-in kinds names and types only.
 */
export function openApiDocument(registry: ResourceRegistry, path: string): JsonObject | undefined {
  const infos = registry.all().filter((info) => openApiPath(groupVersion(info)) === path);
  if (infos.length === 0) return undefined;
  const paths: JsonObject = {};
  const schemas: JsonObject = {};
  for (const info of infos) {
    const identity = { group: info.group, version: info.version, kind: info.kind };
    const base = `/${path}${info.namespaced ? '/namespaces/{namespace}' : ''}/${info.plural}`;
    const operation = (action: string): JsonObject => ({
      'x-kubernetes-action': action,
      'x-kubernetes-group-version-kind': identity,
      parameters: ['dryRun', 'fieldManager', 'fieldValidation'].map(queryParameter),
      responses: {
        '200': {
          description: 'OK',
          content: {
            'application/json': { schema: { $ref: `#/components/schemas/${schemaName(info)}` } },
          },
        },
      },
    });
    paths[base] = { post: operation('post') };
    if (!info.review) paths[`${base}/{name}`] = { put: operation('put'), patch: operation('patch') };
    const schema: JsonObject = info.custom?.schema ?? builtinSchema(info.kind) ?? { type: 'object' };
    const properties = schema['properties'];
    schemas[schemaName(info)] = {
      ...schema,
      type: 'object',
      properties: {
        apiVersion: { type: 'string' },
        kind: { type: 'string' },
        metadata: { type: 'object' },
        ...(typeof properties === 'object' && !Array.isArray(properties) ? properties : {}),
      },
      'x-kubernetes-group-version-kind': [identity as Json],
    };
  }
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'unversioned' },
    paths,
    components: { schemas },
  };
}
