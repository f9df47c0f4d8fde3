import { multiclusterNamespace } from '@mesh/multicluster/link';
import { controlPlaneNamespace } from '@mesh/charts/objects';

export const controlPlaneDeployments = ['mesh-identity', 'mesh-destination', 'mesh-injector'].map((name) => ({
  namespace: controlPlaneNamespace,
  name,
}));

export const multiclusterDeployments = ['mesh-gateway', 'mesh-mirror'].map((name) => ({
  namespace: multiclusterNamespace,
  name,
}));
