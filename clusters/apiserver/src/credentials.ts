/** Who may call the API of a local cluster from outside it, whichever server answers: kubeconfigs and certificates. */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kubeconfig } from './kubeconfig.ts';
import type { CertificateName, ClusterKeys } from './pki.ts';
import { firstAddress, parseRange } from './service-addresses.ts';

/** The user as whom an API server calls a kubelet. */
export const kubeletClient = { user: 'kube-apiserver-kubelet-client', groups: ['system:masters'] } as const;

interface ServerPlace {
  cluster: string;
  /** Address that the server listens on. */
  address: string;
  serviceCidr: string;
  /** How pods reach this server. */
  podEndpoint?: { address: string; port: number };
}

/** Every name and address at which clients know the server. */
export function servingNames({ address, cluster, podEndpoint, serviceCidr }: ServerPlace): CertificateName[] {
  const names = [
    ...['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc'],
    ...['kubernetes.default.svc.cluster.local', `apiserver.${cluster}`],
  ];
  const addresses = new Set(['127.0.0.1', address, firstAddress(parseRange(serviceCidr))]);
  if (podEndpoint !== undefined) addresses.add(podEndpoint.address);
  return [
    ...names.map((value) => ({ type: 'dns' as const, value })),
    ...[...addresses].map((value) => ({ type: 'ip' as const, value })),
  ];
}

/**
 * Writes `admin`, `node` and `controllers.kubeconfig`, and `node-serving.pem` (certificate and key) with which the
 * node answers the API server. Whoever waits for a file never reads half of it.
 */
export async function writeCredentials({
  directory,
  cluster,
  url,
  keys,
  nodeName,
  podEndpoint,
}: {
  directory: string;
  cluster: string;
  url: string;
  keys: ClusterKeys;
  nodeName: string;
  podEndpoint?: { address: string };
}): Promise<void> {
  const write = (file: string, text: string): void => {
    const target = join(directory, file);
    writeFileSync(`${target}.fresh`, text, { mode: 0o600 });
    renameSync(`${target}.fresh`, target);
  };
  const node = { user: `system:node:${nodeName}`, groups: ['system:nodes'] };
  const serving = await keys.issueServing({
    ...node,
    names: [
      { type: 'dns', value: nodeName },
      ...(podEndpoint === undefined ? [] : [{ type: 'ip' as const, value: podEndpoint.address }]),
    ],
  });
  write('node-serving.pem', serving.certificatePem + serving.keyPem);
  const users = [
    { file: 'admin', user: 'kubernetes-admin', groups: ['system:masters'] },
    { file: 'node', ...node },
    { file: 'controllers', user: 'system:kube-controller-manager', groups: [] },
  ];
  for (const { file, user, groups } of users) {
    const credential = await keys.issueClient(user, groups);
    const name = file === 'admin' ? `${cluster}-admin` : user;
    write(
      `${file}.kubeconfig`,
      kubeconfig({ cluster, server: url, caPem: keys.caPem, user: name, credential }),
    );
  }
}
