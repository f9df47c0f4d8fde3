import { matchesLabels, matchesSelector } from '@mesh/kube/selector';
import type { Node, Pod, Stored } from '@mesh/kube/types';

/** Why a pod cannot run on a node; undefined when it can. In the words of Kubernetes' scheduler. */
export function misfit(pod: Pod, node: Stored<Node>): string | undefined {
  const ready = node.status?.conditions?.find(({ type }) => type === 'Ready');
  if (ready?.status !== 'True') return 'node(s) were not ready';
  if (node.spec?.unschedulable === true) return 'node(s) were unschedulable';
  for (const taint of node.spec?.taints ?? []) {
    if (taint.effect !== 'PreferNoSchedule' && !tolerates(pod, taint)) {
      return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`;
    }
  }
  const labels = node.metadata.labels;
  if (!matchesLabels(pod.spec?.nodeSelector ?? {}, labels) || !matchesAffinity(pod, node)) {
    return "node(s) didn't match Pod's node affinity/selector";
  }
  return undefined;
}

function tolerates(pod: Pod, taint: { key: string; value?: string; effect: string }): boolean {
  return (pod.spec?.tolerations ?? []).some(({ key, operator = 'Equal', value = '', effect = '' }) => {
    if (effect !== '' && effect !== taint.effect) return false;
    if (operator === 'Exists') return key === undefined || key === '' || key === taint.key;
    return key === taint.key && value === (taint.value ?? '');
  });
}

function matchesAffinity(pod: Pod, node: Stored<Node>): boolean {
  const required = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (required === undefined) return true;
  return required.nodeSelectorTerms.some(({ matchExpressions = [], matchFields = [] }) => {
    if (matchExpressions.length === 0 && matchFields.length === 0) return false;
    return (
      matchesSelector({ matchExpressions }, node.metadata.labels) &&
      matchesSelector({ matchExpressions: matchFields }, { 'metadata.name': node.metadata.name })
    );
  });
}
