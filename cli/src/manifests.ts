/** YAML in and out, as kubectl reads and writes it. */
import type { KubernetesObject } from '@mesh/charts/objects';
import { MeshError } from '@mesh/errors/mesh-error';
import { parseAllDocuments, stringify } from 'yaml';

/** Several documents in one stream, or a JSON List. */
export function printManifests(objects: readonly KubernetesObject[], format: 'yaml' | 'json'): string {
  if (format === 'json')
    return JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }, undefined, 2);
  return objects
    .map((object) => `---\n${stringify(object, { lineWidth: 0, aliasDuplicateObjects: false })}`)
    .join('')
    .trimEnd();
}

/** Every object in a YAML or JSON stream; Lists are opened. @throws MeshError cli-input */
export function readManifests(source: string, text: string): KubernetesObject[] {
  const objects: KubernetesObject[] = [];
  for (const document of parseAllDocuments(text)) {
    const [failure] = document.errors;
    if (failure !== undefined) throw new MeshError('cli-input', `${source}: ${failure.message}`);
    const value: unknown = document.toJS();
    if (value === null || value === undefined) continue;
    if (typeof value !== 'object' || !('kind' in value) || typeof value.kind !== 'string') {
      throw new MeshError('cli-input', `${source}: a document is no Kubernetes object (it has no kind)`);
    }
    const object = value as unknown as KubernetesObject & { items?: KubernetesObject[] };
    if (object.kind === 'List') objects.push(...(object.items ?? []));
    else objects.push(object);
  }
  return objects;
}
