/**
 * What an install can be told. Every value has a default but the cluster's name and its trust material.
 */
import { MeshError } from '@mesh/errors/mesh-error';
import { isClusterName } from '@mesh/multicluster/names';
import { meshDomain } from '@mesh/trust/names';

export const inboundPolicies = [
  'all-unauthenticated',
  'all-authenticated',
  'cluster-authenticated',
  'deny',
] as const;
export type InboundPolicy = (typeof inboundPolicies)[number];

/** Ports whose protocol speaks server-first, so that looking at the client's bytes would wait for nothing. */
const defaultOpaquePorts: readonly number[] = [25, 587, 3306, 4444, 5432, 6379, 9300, 11211];

export interface Values {
  cluster: string;
  clusterDomain: string;
  /** Suffix of every cluster's trust domain: `<cluster>.<suffix>`. */
  trustSuffix: string;
  /** PEM of the shared anchors. */
  anchors: string;
  image: string;
  version: string;
  logLevel: 'debug' | 'info' | 'warn' | 'error';
  inboundPolicy: InboundPolicy;
  opaquePorts: readonly number[];
  controllerReplicas: number;
  gatewayReplicas: number;
}

/** PEM of a cluster's issuer; goes into one Secret and nowhere else. */
export interface IssuerMaterial {
  certificate: string;
  key: string;
}

export const version = '0.1.0';

/** Fills in the defaults. @throws MeshError install-cluster-name */
export function resolveValues(given: Partial<Values> & Pick<Values, 'cluster' | 'anchors'>): Values {
  if (!isClusterName(given.cluster)) {
    throw new MeshError('install-cluster-name', `${JSON.stringify(given.cluster)} is not a cluster name`, {
      remedy:
        'Use a DNS label of at most 20 characters, unique among the clusters you will link: --cluster east',
    });
  }
  return {
    clusterDomain: 'cluster.local',
    trustSuffix: meshDomain,
    image: `mesh:${version}`,
    version,
    logLevel: 'info',
    inboundPolicy: 'all-unauthenticated',
    opaquePorts: defaultOpaquePorts,
    controllerReplicas: 1,
    gatewayReplicas: 1,
    ...given,
  };
}

/** What the ConfigMap mesh-config keeps, for `mesh check`, the injector and later installs. No key material. */
export function storedValues(values: Values): string {
  return `${JSON.stringify(values, undefined, 2)}\n`;
}

/** @throws MeshError install-config when the stored text is not what an install wrote. */
export function parseStoredValues(text: string): Values {
  try {
    return resolveValues(JSON.parse(text) as Values);
  } catch (cause) {
    throw new MeshError(
      'install-config',
      'ConfigMap mesh/mesh-config does not hold the values of an install',
      {
        remedy: 'Run the install of this version again: mesh install --cluster NAME --trust DIR --apply',
        cause,
      },
    );
  }
}
