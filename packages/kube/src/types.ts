/**
 * Kubernetes objects as they are on the wire.
 *
 * The shapes come from the published API types, with two differences that JSON brings: dates are RFC 3339 text, and
 * the few fields that TypeScript generators must rename (`_continue`, `_default`) keep their own names.
 */
import type {
  V1LeaseSpec,
  CoreV1Event,
  CoreV1EventSeries,
  V1ClusterRole,
  V1ClusterRoleBinding,
  V1ConfigMap,
  V1Container,
  V1CustomResourceDefinition,
  V1Deployment,
  V1EndpointSlice,
  V1Endpoint,
  V1Lease,
  V1MutatingWebhookConfiguration,
  V1Namespace,
  V1Node,
  V1ObjectMeta,
  V1OwnerReference,
  V1Pod,
  V1PodSpec,
  V1PodTemplateSpec,
  V1ReplicaSet,
  V1Role,
  V1RoleBinding,
  V1Secret,
  V1Service,
  V1ServiceAccount,
  V1StatefulSet,
  V1SubjectAccessReview,
  V1TokenReview,
  V1ValidatingWebhookConfiguration,
} from '@kubernetes/client-node';

/** An API type as JSON carries it. */
export type Wire<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? Wire<Item>[]
    : T extends object
      ? { [Key in keyof T as Key extends `_${infer Plain}` ? Plain : Key]: Wire<T[Key]> }
      : T;

export type ObjectMeta = Wire<V1ObjectMeta>;
export type OwnerReference = Wire<V1OwnerReference>;

/** What every object has. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata?: ObjectMeta;
}

/** Metadata that the API server fills in for every stored object. */
export interface StoredMeta extends ObjectMeta {
  name: string;
  uid: string;
  resourceVersion: string;
  creationTimestamp: string;
}

/** An object that came from the API server. */
export type Stored<T extends KubeObject> = T & { metadata: StoredMeta };

export type ClusterRole = Wire<V1ClusterRole>;
export type ClusterRoleBinding = Wire<V1ClusterRoleBinding>;
export type ConfigMap = Wire<V1ConfigMap>;
export type Container = Wire<V1Container>;
export type CustomResourceDefinition = Wire<V1CustomResourceDefinition>;
export type Deployment = Wire<V1Deployment>;
export type Endpoint = Wire<V1Endpoint>;
export type EndpointSlice = Wire<V1EndpointSlice>;
export type Event = Wire<CoreV1Event>;
export type EventSeries = Wire<CoreV1EventSeries>;
export type Lease = Wire<V1Lease>;
export type LeaseSpec = Wire<V1LeaseSpec>;
export type MutatingWebhookConfiguration = Wire<V1MutatingWebhookConfiguration>;
export type Namespace = Wire<V1Namespace>;
export type Node = Wire<V1Node>;
export type Pod = Wire<V1Pod>;
export type PodSpec = Wire<V1PodSpec>;
export type PodTemplateSpec = Wire<V1PodTemplateSpec>;
export type ReplicaSet = Wire<V1ReplicaSet>;
export type Role = Wire<V1Role>;
export type RoleBinding = Wire<V1RoleBinding>;
export type Secret = Wire<V1Secret>;
export type Service = Wire<V1Service>;
export type ServiceAccount = Wire<V1ServiceAccount>;
export type StatefulSet = Wire<V1StatefulSet>;
export type SubjectAccessReview = Wire<V1SubjectAccessReview>;
export type TokenReview = Wire<V1TokenReview>;
export type ValidatingWebhookConfiguration = Wire<V1ValidatingWebhookConfiguration>;

/** Body of `serviceaccounts/token` (authentication.k8s.io/v1). */
export interface TokenRequest extends KubeObject {
  spec: {
    audiences: string[];
    expirationSeconds?: number;
    boundObjectRef?: { kind: string; apiVersion: string; name: string; uid: string };
  };
  status?: { token: string; expirationTimestamp: string };
}

/** One page of a list. */
export interface ObjectList<T extends KubeObject> {
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
  items: Stored<T>[];
}

/** `Status` of a failed request (meta/v1). */
export interface StatusBody {
  kind: 'Status';
  code?: number;
  reason?: string;
  message?: string;
  details?: {
    name?: string;
    group?: string;
    kind?: string;
    uid?: string;
    retryAfterSeconds?: number;
    causes?: { reason?: string; message?: string; field?: string }[];
  };
}
