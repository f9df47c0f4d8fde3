/** Binding: how a pod gets its node. */
import { clone, isObject, listAt, textAt } from './json.ts';
import { section } from './kinds/rules.ts';
import type { KubeObject } from './object.ts';
import { conflict } from './status.ts';

/** `pod` placed on `node`, with the condition that says so. @throws ApiError 409 when it already is on one */
export function boundPod(pod: KubeObject, node: string, binding: KubeObject, time: string): KubeObject {
  const target = { kind: 'pods', name: pod.metadata.name };
  const current = textAt(pod, 'spec', 'nodeName') ?? '';
  if (current !== '')
    throw conflict(
      { ...target, kind: 'pods/binding' },
      `pod ${pod.metadata.name} is already assigned to node "${current}"`,
    );
  const uid = binding.metadata.uid ?? '';
  if (uid !== '' && uid !== pod.metadata.uid) {
    throw conflict(
      target,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${pod.metadata.uid}`,
    );
  }
  const next = clone(pod);
  section(next, 'spec')['nodeName'] = node;
  const status = section(next, 'status');
  const conditions = listAt(status, 'conditions').filter(
    (condition) => isObject(condition) && condition['type'] !== 'PodScheduled',
  );
  status['conditions'] = [
    ...conditions,
    { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: time },
  ];
  return next;
}
