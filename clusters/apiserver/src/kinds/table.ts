import {
  configMapRules,
  endpointSliceRules,
  eventRules,
  namespaceRules,
  nodeRules,
  secretRules,
} from './core.ts';
import { definitionRules } from './custom-resource-definition.ts';
import { podRules } from './pod.ts';
import { bindingRules, roleRules, webhookConfigurationRules } from './policies.ts';
import type { KindRules } from './rules.ts';
import { serviceRules } from './service.ts';
import { deploymentRules, replicaSetRules, statefulSetRules } from './workloads.ts';

/** By kind. Kinds without an entry have no rules beyond those of metadata. */
export const kindRules: Readonly<Record<string, KindRules>> = {
  ClusterRole: roleRules,
  ClusterRoleBinding: bindingRules,
  ConfigMap: configMapRules,
  CustomResourceDefinition: definitionRules,
  Deployment: deploymentRules,
  EndpointSlice: endpointSliceRules,
  Event: eventRules,
  MutatingWebhookConfiguration: webhookConfigurationRules,
  Namespace: namespaceRules,
  Node: nodeRules,
  Pod: podRules,
  ReplicaSet: replicaSetRules,
  Role: roleRules,
  RoleBinding: bindingRules,
  Secret: secretRules,
  Service: serviceRules,
  StatefulSet: statefulSetRules,
  ValidatingWebhookConfiguration: webhookConfigurationRules,
};
