/** What a code stands for, and what to do where the error itself knows nothing better. */
interface ErrorFacts {
  readonly meaning: string;
  readonly remedy: string;
}

/** Every stable error code. Add here, never rename; docs/errors.md is generated from it. */
export const errorCodes = {
  'config-invalid': {
    meaning: 'An environment variable has a value outside what is allowed.',
    remedy: 'Set it to what docs/config.md allows.',
  },
  'config-unknown': {
    meaning: 'An environment variable with our prefix is not known to this program.',
    remedy: 'Remove it, or spell it as docs/config.md does.',
  },
  'config-missing': {
    meaning: 'A required environment variable is not set.',
    remedy: 'Set it; docs/config.md says what it means.',
  },
  'kubeconfig-invalid': {
    meaning: 'A kubeconfig file or the in-cluster service account mount cannot be used.',
    remedy: 'Mend the file, or name another by --kubeconfig or KUBECONFIG.',
  },
  'credential-plugin': {
    meaning: 'The credential plugin of a kubeconfig gave no credential.',
    remedy: 'Run the `exec` command of the kubeconfig by hand and see what it says.',
  },
  'kube-api': {
    meaning: 'The Kubernetes API refused a request.',
    remedy: 'Read what the API server answered; where it names a missing right, give it to the caller.',
  },
  'demo-command': {
    meaning: 'A step of the demo failed.',
    remedy: 'Read what the command wrote; `mesh local logs` has the logs of the clusters.',
  },
  'cli-usage': {
    meaning: 'A command line could not be understood.',
    remedy: 'See: mesh help',
  },
  'cli-no-kubeconfig': {
    meaning: 'No kubeconfig was found.',
    remedy: 'Name one by --kubeconfig or KUBECONFIG.',
  },
  'cli-apply': {
    meaning: 'An object could not be applied to the cluster.',
    remedy: 'Read what the API server answered, and see that the context is the one that was meant.',
  },
  'cli-not-ready': {
    meaning: 'Something installed did not become ready in time.',
    remedy: 'See: mesh check',
  },
  'cli-input': {
    meaning: 'A file or stream given to a command cannot be used.',
    remedy: 'See that the file can be read and holds what the command asks for.',
  },
  'not-installed': {
    meaning: 'The cluster has no mesh, or none of the part that a command needs.',
    remedy: 'Install it first: mesh install, then mesh multicluster install.',
  },
  'link-refused': {
    meaning: 'Clusters cannot be linked as they are.',
    remedy: 'Mend what the message names; docs/errors.md has what each reason of an import asks for.',
  },
  'annotation-unknown': {
    meaning: 'An annotation of a Service has a value that is not understood; the default holds in its place.',
    remedy: 'Set the annotation to what the message allows, or remove it.',
  },
  'link-unproven': {
    meaning: 'A link was written, but no request was answered through it in time.',
    remedy: 'See: mesh multicluster check',
  },
  'install-cluster-name': {
    meaning:
      'The cluster name given at install is no DNS label of at most 20 characters, or not that of the cluster at hand.',
    remedy:
      'Give --cluster a DNS label of at most 20 characters, and --context the cluster that has that name.',
  },
  'issuer-refused': {
    meaning: 'The issuer given at install cannot sign for the cluster.',
    remedy: 'Give an issuer that may sign for the cluster, or let mesh install sign one: --trust DIR.',
  },
  'install-config': {
    meaning: 'The stored values of an install cannot be read.',
    remedy: 'Install again with the version of the command that is used: mesh install.',
  },
  'injector-review': {
    meaning: 'The webhook was sent something that is no review of a pod.',
    remedy: 'See what calls the webhook: its configuration must select pods, as mesh install writes it.',
  },
  'kube-unreachable': {
    meaning: 'The Kubernetes API did not answer.',
    remedy: 'See that the API server runs and that its address in the kubeconfig can be reached from here.',
  },
  'kube-limit': {
    meaning: 'An answer of the Kubernetes API is larger than the named limit.',
    remedy: 'See docs/limits.md for the limit; the object or list must become smaller.',
  },
  'tool-failed': {
    meaning: 'A system tool (ip, iptables-restore, unshare, …) failed or is not installed.',
    remedy: 'Read what the tool wrote; where it is not installed, install its package.',
  },
  'cluster-unreachable': {
    meaning: 'An address in a local cluster could not be reached through its node.',
    remedy: 'See that the pod listens there and that the cluster runs: mesh local status',
  },
  'pod-sandbox': {
    meaning: 'The namespaces of a pod could not be set up.',
    remedy: 'Read the log of the node: mesh local logs',
  },
  'namespaces-forbidden': {
    meaning: 'The kernel does not let this user create the namespaces of local clusters.',
    remedy: 'Let this user create user namespaces, or run as root.',
  },
  'packages-missing': {
    meaning: 'A Debian package that local clusters need is not installed.',
    remedy: 'Install the packages that the message names.',
  },
  'assets-missing': {
    meaning: 'KUBEBUILDER_ASSETS names a directory without a usable kube-apiserver and etcd.',
    remedy: 'Let KUBEBUILDER_ASSETS name a directory that holds both, or unset it (docs/local-clusters.md).',
  },
  'topology-invalid': {
    meaning: 'A topology file has an entry that is not allowed.',
    remedy: 'Mend the entry that the message names; clusters/topologies has examples.',
  },
  'local-clusters': {
    meaning: 'Local clusters could not be started, found or stopped.',
    remedy: 'See mesh local status and mesh local logs; mesh local down ends what is left.',
  },
  'tls-dial-failed': {
    meaning: 'A TLS connection to an expected identity could not be made.',
    remedy: 'Look up the reason under “Refused TLS” in docs/errors.md.',
  },
  'credentials-invalid': {
    meaning: 'A certificate, key or trust anchor cannot be used.',
    remedy: 'Give a certificate, its own key in PEM and the anchor that signed it.',
  },
  'trust-files': {
    meaning: 'The files of a trust directory are missing, unusable or would be overwritten.',
    remedy: 'Name a directory that mesh trust init made, or an empty one for a new anchor.',
  },
  'certify-refused': {
    meaning: 'The identity service did not issue a usable certificate.',
    remedy: 'Read the log of the identity service; it has the reason.',
  },
  'journal-corrupt': {
    meaning: 'The journal of a local cluster cannot be read.',
    remedy: 'Begin with an empty store: mesh local down, then mesh local up.',
  },
} as const satisfies Record<string, ErrorFacts>;

export type ErrorCode = keyof typeof errorCodes;
