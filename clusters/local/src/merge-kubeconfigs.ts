import { parse, stringify } from 'yaml';

interface Section {
  name: string;
}

interface KubeconfigFile {
  clusters?: Section[];
  users?: Section[];
  contexts?: Section[];
}

/** One kubeconfig with the contexts of all; the first one's is current. */
export function mergeKubeconfigs(texts: readonly string[]): string {
  const files = texts.map((text) => parse(text) as KubeconfigFile);
  const contexts = files.flatMap((file) => file.contexts ?? []);
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: files.flatMap((file) => file.clusters ?? []),
    users: files.flatMap((file) => file.users ?? []),
    contexts,
    'current-context': contexts[0]?.name ?? '',
  });
}
