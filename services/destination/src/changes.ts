/** Which topics a change of an object concerns. */
import { namespaceOf, serviceNameLabel } from '@mesh/kube/objects';
import type { EndpointSlice, Namespace, Node, Pod, Service } from '@mesh/kube/types';
import { clusterIpsOf, podIpsOf } from './cluster-objects.ts';
import { relatedServices } from './endpoints.ts';
import { zoneLabel } from './workload.ts';

export const topics = {
  service: (namespace: string, name: string) => `service:${namespace}/${name}`,
  address: (ip: string) => `address:${ip}`,
  pod: (namespace: string, name: string) => `pod:${namespace}/${name}`,
  /** Any pod of a namespace: for endpoints, which any of them may be behind. */
  pods: (namespace: string) => `pods:${namespace}`,
  /** Settings of a namespace. */
  namespace: (namespace: string) => `namespace:${namespace}`,
  node: (name: string) => `node:${name}`,
  /** Any of them: for endpoints, as with pods. */
  nodes: 'nodes',
  gateway: 'gateway',
} as const;

interface Pair<T> {
  object: T | undefined;
  previous: T | undefined;
}

/** What a target's endpoints depend on. */
export function targetTopics(namespace: string, service: string): string[] {
  return [
    ...relatedServices(service).map((name) => topics.service(namespace, name)),
    topics.pods(namespace),
    topics.namespace(namespace),
    topics.nodes,
  ];
}

export function serviceTopics({ object, previous }: Pair<Service>): string[] {
  const either = object ?? previous;
  const name = either?.metadata?.name;
  if (either === undefined || name === undefined) return [];
  const addresses = new Set(
    [object, previous].flatMap((one) => (one === undefined ? [] : clusterIpsOf(one))),
  );
  return [topics.service(namespaceOf(either), name), ...[...addresses].map(topics.address), topics.gateway];
}

export function sliceTopics({ object, previous }: Pair<EndpointSlice>): string[] {
  const found = new Set<string>();
  for (const slice of [object, previous]) {
    const service = slice?.metadata?.labels?.[serviceNameLabel];
    if (slice !== undefined && service !== undefined) found.add(topics.service(namespaceOf(slice), service));
  }
  return [...found];
}

/** A pod's status changes often; only what others see of it counts. */
export function podTopics({ object, previous }: Pair<Pod>): string[] {
  const either = object ?? previous;
  const name = either?.metadata?.name;
  if (either === undefined || name === undefined || podFacts(object) === podFacts(previous)) return [];
  const addresses = new Set([object, previous].flatMap((one) => (one === undefined ? [] : podIpsOf(one))));
  const namespace = namespaceOf(either);
  return [topics.pods(namespace), topics.pod(namespace, name), ...[...addresses].map(topics.address)];
}

function podFacts(pod: Pod | undefined): string {
  if (pod === undefined) return '';
  const { labels, annotations, ownerReferences } = pod.metadata ?? {};
  const { serviceAccountName, nodeName, hostNetwork } = pod.spec ?? {};
  return JSON.stringify([
    labels,
    annotations,
    ownerReferences,
    serviceAccountName,
    nodeName,
    hostNetwork,
    podIpsOf(pod),
  ]);
}

export function namespaceTopics({ object, previous }: Pair<Namespace>): string[] {
  const name = (object ?? previous)?.metadata?.name;
  const before = JSON.stringify(previous?.metadata?.annotations);
  if (name === undefined || JSON.stringify(object?.metadata?.annotations) === before) return [];
  return [topics.namespace(name), topics.gateway];
}

/** Nodes report every few seconds; only their zone matters here. */
export function nodeTopics({ object, previous }: Pair<Node>): string[] {
  const name = (object ?? previous)?.metadata?.name;
  const same = object?.metadata?.labels?.[zoneLabel] === previous?.metadata?.labels?.[zoneLabel];
  return name === undefined || same ? [] : [topics.nodes, topics.node(name)];
}
