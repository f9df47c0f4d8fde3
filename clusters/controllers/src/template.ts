import { createHash } from 'node:crypto';
import { controllerRef } from '@mesh/kube/objects';
import { jsonEqual } from '@mesh/kube/patch';
import { apiVersionOf, type ResourceType } from '@mesh/kube/resources';
import type { KubeObject, Pod, PodTemplateSpec, Stored } from '@mesh/kube/types';

export const templateHashLabel = 'pod-template-hash';

const alphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** Ten characters that are safe in a label and spell no words; equal templates hash equally. */
export function templateHash(template: PodTemplateSpec, salt = 0): string {
  const digest = createHash('sha256')
    .update(`${salt} ${JSON.stringify(sortKeys(template))}`)
    .digest();
  return [...digest.subarray(0, 10)].map((byte) => alphabet[byte % alphabet.length]).join('');
}

/** Equal but for the hash label that a Deployment adds. */
export function sameTemplate(left: PodTemplateSpec, right: PodTemplateSpec): boolean {
  return jsonEqual(withoutHash(left), withoutHash(right));
}

/** The pod that `template` asks for, controlled by `owner`; the caller gives it a name. */
export function podFromTemplate(
  template: PodTemplateSpec,
  owner: Stored<KubeObject>,
  type: ResourceType,
): Pod & { metadata: NonNullable<Pod['metadata']> } {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  return {
    metadata: {
      ...(owner.metadata.namespace !== undefined && { namespace: owner.metadata.namespace }),
      ...(labels !== undefined && { labels: { ...labels } }),
      ...(annotations !== undefined && { annotations: { ...annotations } }),
      ...(finalizers !== undefined && { finalizers }),
      ownerReferences: [controllerRef(owner, { kind: type.kind, apiVersion: apiVersionOf(type) })],
    },
    ...(template.spec !== undefined && { spec: template.spec }),
  };
}

function withoutHash(template: PodTemplateSpec): PodTemplateSpec {
  const { [templateHashLabel]: _hash, ...labels } = template.metadata?.labels ?? {};
  const { creationTimestamp: _never, ...metadata } = template.metadata ?? {};
  return { ...template, metadata: { ...metadata, labels } };
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(entries.map(([key, item]) => [key, sortKeys(item)]));
}
