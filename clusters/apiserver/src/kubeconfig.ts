import { stringify } from 'yaml';
import type { KeyPair } from './pki.ts';

interface KubeconfigOptions {
  cluster: string;
  server: string;
  caPem: string;
  user: string;
  credential: KeyPair;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** A kubeconfig with one context, named after the cluster, that is current. */
export function kubeconfig({ cluster, server, caPem, user, credential }: KubeconfigOptions): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: cluster, cluster: { server, 'certificate-authority-data': base64(caPem) } }],
    users: [
      {
        name: user,
        user: {
          'client-certificate-data': base64(credential.certificatePem),
          'client-key-data': base64(credential.keyPem),
        },
      },
    ],
    contexts: [{ name: cluster, context: { cluster, user } }],
    'current-context': cluster,
  });
}
