/** The Scale view (autoscaling/v1) of kinds that have one. */
import { at, clone, isObject, numberAt, type Json, type JsonObject } from './json.ts';
import { section } from './kinds/rules.ts';
import type { KubeObject } from './object.ts';
import type { ScalePaths } from './resources.ts';
import { badRequest } from './status.ts';

function selectorText(selector: Json | undefined): string {
  if (typeof selector === 'string') return selector;
  const labels = at(selector, 'matchLabels');
  return Object.entries(isObject(labels) ? labels : {})
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(',');
}

export function scaleOf(object: KubeObject, paths: ScalePaths): KubeObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      uid,
      resourceVersion,
      creationTimestamp,
    },
    spec: { replicas: numberAt(object, ...paths.replicas) ?? 0 },
    status: {
      replicas: numberAt(object, ...paths.statusReplicas) ?? 0,
      ...(paths.selector === undefined ? {} : { selector: selectorText(at(object, ...paths.selector)) }),
    },
  } as KubeObject;
}

/** `object` with the replicas of `scale`, and its resourceVersion as precondition. */
export function withScale(object: KubeObject, scale: KubeObject, paths: ScalePaths): KubeObject {
  const replicas = numberAt(scale, 'spec', 'replicas');
  if (replicas === undefined || replicas < 0)
    throw badRequest('spec.replicas must be a number of at least 0');
  const next = clone(object);
  let parent: JsonObject = next;
  for (const step of paths.replicas.slice(0, -1)) parent = section(parent, step);
  parent[paths.replicas.at(-1) ?? 'replicas'] = replicas;
  next.metadata.resourceVersion = scale.metadata.resourceVersion ?? '';
  return next;
}
