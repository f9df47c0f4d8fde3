/** YAML in and out, as kubectl reads and writes it. */
import type { KubernetesObject } from '@mesh/charts/objects';
import { MeshError } from '@mesh/errors/mesh-error';
import { type Document, parseAllDocuments, type ScalarTag, stringify, type Tags } from 'yaml';

/**
 * kubectl reads YAML 1.1, where `0400` is octal and `yes` is a boolean, but for times, and takes octal numbers of YAML 1.2 too.
 * What it would read otherwise than we do would be changed by going through here.
 */
const reading = {
  version: '1.1',
  customTags: (tags: Tags): Tags => [
    octal,
    ...tags.filter((tag) => typeof tag === 'string' || isKnown(tag as ScalarTag)),
  ],
} as const;

const octal: ScalarTag = {
  tag: 'tag:yaml.org,2002:int',
  default: true,
  format: 'OCT',
  test: /^[-+]?0o[0-7]+$/,
  resolve: (text) => (text.startsWith('-') ? -1 : 1) * Number.parseInt(text.replace(/^[-+]?0o/, ''), 8),
};

function isKnown({ tag, format }: ScalarTag): boolean {
  return !/:(timestamp|binary)$/.test(tag) && format !== 'TIME';
}

/** Texts that are anything else in either version of YAML are quoted. */
const writing = { lineWidth: 0, aliasDuplicateObjects: false, compat: 'yaml-1.1' } as const;

/** Several documents in one stream, or a JSON List. */
export function printManifests(objects: readonly KubernetesObject[], format: 'yaml' | 'json'): string {
  if (format === 'json')
    return JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }, undefined, 2);
  return objects
    .map((object) => `---\n${stringify(object, writing)}`)
    .join('')
    .trimEnd();
}

/** Every object in a YAML or JSON stream; Lists are opened. @throws MeshError cli-input */
export function readManifests(source: string, text: string): KubernetesObject[] {
  const objects: KubernetesObject[] = [];
  for (const document of parseAllDocuments(text, reading)) {
    const [failure] = document.errors;
    if (failure !== undefined) throw new MeshError('cli-input', `${source}: ${failure.message}`);
    const value = valueOf(document, source);
    if (value === null || value === undefined) continue;
    const object = asObject(value, source);
    const { items } = object as { items?: unknown };
    if (object.kind !== 'List') objects.push(object);
    else if (Array.isArray(items)) objects.push(...items.map((item) => asObject(item, source)));
  }
  return objects;
}

/** Anchors of long manifests are used often; what doubles with each line is refused. */
const maxAliasCount = 10_000;

function valueOf(document: Document.Parsed, source: string): unknown {
  try {
    return document.toJS({ maxAliasCount });
  } catch (cause) {
    throw new MeshError('cli-input', `${source}: ${(cause as Error).message}`);
  }
}

function asObject(value: unknown, source: string): KubernetesObject {
  if (typeof value === 'object' && value !== null && 'kind' in value && typeof value.kind === 'string') {
    return value as KubernetesObject;
  }
  throw new MeshError(
    'cli-input',
    `${source}: a document or an item is no Kubernetes object (it has no kind)`,
  );
}
