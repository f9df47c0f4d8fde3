/** Every stable error code with one line of meaning. Add here, never rename; docs/errors.md is generated from it. */
export const errorCodes = {
  'config-invalid': 'An environment variable has a value outside what is allowed.',
  'config-unknown': 'An environment variable with our prefix is not known to this program.',
  'config-missing': 'A required environment variable is not set.',
  'kubeconfig-invalid': 'A kubeconfig file or the in-cluster service account mount cannot be used.',
  'kube-api': 'The Kubernetes API refused a request.',
  'install-cluster-name': 'The cluster name given at install is no DNS label of at most 20 characters.',
  'install-config': 'The stored values of an install cannot be read.',
  'injector-review': 'The webhook was sent something that is no review of a pod.',
  'kube-unreachable': 'The Kubernetes API did not answer.',
  'kube-limit': 'An answer of the Kubernetes API is larger than the named limit.',
} as const satisfies Record<string, string>;

export type ErrorCode = keyof typeof errorCodes;
