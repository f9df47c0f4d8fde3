/**
 * The admission webhook (admission.k8s.io/v1): a pod in, a JSON patch out. A fault of ours never blocks a pod: the
 * answer is then "allowed" with a warning that the user sees.
 */
import { injectionDecision, type PodTemplate, withSidecar } from '@mesh/charts/sidecar';
import type { Values } from '@mesh/charts/values';
import { MeshError } from '@mesh/errors/mesh-error';

interface AdmissionRequest {
  uid: string;
  namespace?: string;
  object?: PodTemplate;
}

export interface AdmissionReview {
  apiVersion?: string;
  kind?: string;
  request?: AdmissionRequest;
}

export interface AdmissionAnswer {
  apiVersion: 'admission.k8s.io/v1';
  kind: 'AdmissionReview';
  response: {
    uid: string;
    allowed: true;
    patchType?: 'JSONPatch';
    /** Base64 of an RFC 6902 patch. */
    patch?: string;
    warnings?: string[];
  };
}

export interface Cluster {
  /** Asked for each pod: a new one begins with today's trust anchors. */
  values(): Promise<Values>;
  /** Undefined while the namespace is not known here. */
  namespaceAnnotations(namespace: string): Promise<Readonly<Record<string, string>> | undefined>;
}

export type Outcome = 'injected' | 'skipped' | 'warned';

/** @throws MeshError injector-review for anything that is no review of a pod */
export async function review(
  body: unknown,
  cluster: Cluster,
): Promise<{ answer: AdmissionAnswer; outcome: Outcome }> {
  const request = (body as AdmissionReview | null)?.request;
  const pod = request?.object;
  if (typeof request?.uid !== 'string' || pod?.spec === undefined || !Array.isArray(pod.spec.containers)) {
    throw new MeshError('injector-review', 'the body is no admission.k8s.io/v1 AdmissionReview of a pod');
  }
  const namespace = request.namespace ?? 'default';
  const annotations = await cluster.namespaceAnnotations(namespace);
  if (annotations === undefined) {
    return warned(
      request.uid,
      `mesh: namespace ${namespace} is not known to the injector; the pod has no sidecar`,
    );
  }
  const decision = injectionDecision(pod, annotations);
  if (!decision.inject && decision.misspelt === true) {
    return warned(request.uid, `mesh: ${decision.reason}; the pod has no sidecar`);
  }
  if (!decision.inject) return { answer: answer(request.uid, {}), outcome: 'skipped' };
  const injected = withSidecar(pod, await cluster.values(), annotations);
  const patch = [
    // A pod that is being created always has metadata; replacing its two maps whole needs no escaping of keys.
    { op: 'add', path: '/metadata/labels', value: injected.metadata?.labels },
    { op: 'add', path: '/metadata/annotations', value: injected.metadata?.annotations },
    { op: 'replace', path: '/spec', value: injected.spec },
  ];
  return {
    answer: answer(request.uid, {
      patchType: 'JSONPatch',
      patch: Buffer.from(JSON.stringify(patch)).toString('base64'),
    }),
    outcome: 'injected',
  };
}

function warned(uid: string, warning: string): { answer: AdmissionAnswer; outcome: Outcome } {
  return { answer: answer(uid, { warnings: [warning] }), outcome: 'warned' };
}

function answer(uid: string, extra: Partial<AdmissionAnswer['response']>): AdmissionAnswer {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: { uid, allowed: true, ...extra },
  };
}
