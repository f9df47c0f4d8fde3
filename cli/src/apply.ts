/** Applies rendered objects in order, as `kubectl apply --server-side` would, for machines without kubectl. */
import type { KubernetesObject } from '@mesh/charts/objects';
import type { Clock } from '@mesh/clock/clock';
import { sleep } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import { isNotFound, KubeApiError } from '@mesh/kube/api-error';
import { serverSideApply } from '@mesh/kube/apply';
import type { KubeClient } from '@mesh/kube/client';
import { deployments, findBuiltIn, type ResourceType } from '@mesh/kube/resources';
import type { Deployment } from '@mesh/kube/types';
import { links } from '@mesh/multicluster/link-resource';

const fieldManager = 'mesh-cli';
/** A CustomResourceDefinition takes a moment before its objects are served. */
const servedWithinMs = 10_000;

function resourceOf({ apiVersion, kind, metadata }: KubernetesObject): ResourceType {
  const known = findBuiltIn(apiVersion, kind) ?? (kind === 'Link' ? links : undefined);
  if (known === undefined)
    throw new MeshError('cli-apply', `${kind} ${metadata.name} (${apiVersion}) cannot be applied`);
  return known as ResourceType;
}

export async function applyAll(
  client: KubeClient,
  objects: readonly KubernetesObject[],
  { clock, onApplied }: { clock: Clock; onApplied?: (object: KubernetesObject) => void },
): Promise<void> {
  for (const object of objects) {
    await applyOne(client, object, clock);
    onApplied?.(object);
  }
}

async function applyOne(client: KubeClient, object: KubernetesObject, clock: Clock): Promise<void> {
  const type = resourceOf(object);
  const deadline = clock.now() + servedWithinMs;
  for (;;) {
    try {
      await serverSideApply(client, type, object as Parameters<typeof serverSideApply>[2], { fieldManager });
      return;
    } catch (thrown) {
      const notServedYet = type === (links as ResourceType) && isNotFound(thrown) && clock.now() < deadline;
      if (!notServedYet) throw explain(thrown, object);
      await sleep(clock, 200);
    }
  }
}

function explain(thrown: unknown, { kind, metadata }: KubernetesObject): unknown {
  if (!(thrown instanceof KubeApiError)) return thrown;
  const name = metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`;
  const remedy = remedyOf(thrown, metadata.namespace);
  return new MeshError('cli-apply', `${kind} ${name} was not applied: ${thrown.message}`, {
    ...(remedy !== undefined && { remedy }),
  });
}

function remedyOf({ status, message }: KubeApiError, namespace: string | undefined): string | undefined {
  if (status !== 403) return undefined;
  // An API server refuses that as forbidden, whoever asks.
  if (message.includes('being terminated')) {
    return `Wait until it is gone, then run this again: kubectl wait --for=delete namespace/${namespace} --timeout=5m`;
  }
  return 'Your user lacks the right to write it; installing needs cluster-admin.';
}

/** `act`, whose refusals say in which context they happened: several clusters look the same otherwise. */
export async function inContext<Result>(context: string, act: Promise<Result>): Promise<Result> {
  try {
    return await act;
  } catch (thrown) {
    if (!(thrown instanceof KubeApiError)) throw thrown;
    throw new MeshError('kube-api', `context ${context}: ${thrown.message}`, { remedy: thrown.remedy });
  }
}

/** Waits until each Deployment has its replicas ready. @throws MeshError cli-not-ready naming those that have not */
export async function waitForDeployments(
  client: KubeClient,
  wanted: readonly { namespace: string; name: string }[],
  { clock, timeoutMs }: { clock: Clock; timeoutMs: number },
): Promise<void> {
  const deadline = clock.now() + timeoutMs;
  for (;;) {
    const missing = await notReady(client, wanted).catch((thrown: unknown) => {
      if (!isPassing(thrown)) throw thrown;
      return [thrown.message];
    });
    if (missing.length === 0) return;
    if (clock.now() > deadline) {
      throw new MeshError('cli-not-ready', `not ready after ${timeoutMs / 1000} s: ${missing.join(', ')}`, {
        remedy: 'See why: mesh check, or kubectl -n NAMESPACE describe pods',
      });
    }
    await sleep(clock, 200);
  }
}

async function notReady(
  client: KubeClient,
  wanted: readonly { namespace: string; name: string }[],
): Promise<string[]> {
  const missing: string[] = [];
  for (const ref of wanted) {
    const found = await client.find(deployments, ref);
    if (found !== undefined && isRolledOut(found)) continue;
    const ready = `${found?.status?.readyReplicas ?? 0}/${found?.spec?.replicas ?? '?'} ready`;
    missing.push(`${ref.namespace}/${ref.name} (${ready})`);
  }
  return missing;
}

/** Whether an API server that is asked again may answer: it restarts, or has too much to do. */
function isPassing(thrown: unknown): thrown is MeshError {
  if (thrown instanceof KubeApiError) return thrown.status === 429 || thrown.status >= 500;
  return thrown instanceof MeshError && thrown.code === 'kube-unreachable';
}

export function isRolledOut({ metadata, spec, status }: Deployment): boolean {
  const replicas = spec?.replicas ?? 1;
  return (
    status?.observedGeneration === metadata?.generation &&
    (status?.updatedReplicas ?? 0) >= replicas &&
    (status?.readyReplicas ?? 0) >= replicas &&
    (status?.replicas ?? 0) <= replicas
  );
}
