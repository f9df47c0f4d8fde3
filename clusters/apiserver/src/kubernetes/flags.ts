/** How etcd and kube-apiserver are started: one member, one server, everything on this machine's loopback. */
import { join } from 'node:path';
import { stringify } from 'yaml';

/** Files of the two programs below the state directory. */
export interface KubernetesFiles {
  readonly etcdData: string;
  readonly etcdSocket: string;
  readonly etcdPeerSocket: string;
  readonly pki: string;
  readonly egress: string;
}

export function kubernetesFiles(directory: string): KubernetesFiles {
  return {
    etcdData: join(directory, 'etcd', 'data'),
    etcdSocket: join(directory, 'etcd', 'etcd.sock'),
    etcdPeerSocket: join(directory, 'etcd', 'peer.sock'),
    pki: join(directory, 'pki'),
    egress: join(directory, 'egress.yaml'),
  };
}

/**
 * etcd answers on a unix socket only: its port would be open to every user of the machine, with every Secret behind it.
 * The URLs it is asked to announce must have ports, but nobody dials them, since it has no peers.
 */
export function etcdFlags({ etcdData, etcdSocket, etcdPeerSocket }: KubernetesFiles): string[] {
  const announced = 'http://127.0.0.1:2380';
  return [
    '--name=local',
    `--data-dir=${etcdData}`,
    `--listen-client-urls=unix://${etcdSocket}`,
    '--advertise-client-urls=http://127.0.0.1:2379',
    `--listen-peer-urls=unix://${etcdPeerSocket}`,
    `--initial-advertise-peer-urls=${announced}`,
    `--initial-cluster=local=${announced}`,
    '--log-level=warn',
    // What a killed process wrote survives without it; only a machine that loses power could lose some.
    '--unsafe-no-fsync',
  ];
}

interface ServerFlags {
  files: KubernetesFiles;
  address: string;
  port: number;
  serviceCidr: string;
  /** Address of the Service `kubernetes`' endpoint, together with `port`. */
  advertise: string | undefined;
  /** There is a node: its sockets lead into the cluster's network. */
  throughNode: boolean;
}

export function apiserverFlags(options: ServerFlags): string[] {
  const { files, address, port, serviceCidr, advertise, throughNode } = options;
  const pki = (name: string): string => join(files.pki, name);
  return [
    `--etcd-servers=unix://${files.etcdSocket}`,
    `--bind-address=${address}`,
    `--secure-port=${port}`,
    ...(advertise === undefined ? ['--endpoint-reconciler-type=none'] : [`--advertise-address=${advertise}`]),
    `--service-cluster-ip-range=${serviceCidr}`,
    `--tls-cert-file=${pki('serving.crt')}`,
    `--tls-private-key-file=${pki('serving.key')}`,
    `--client-ca-file=${pki('ca.crt')}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${pki('service-account.crt')}`,
    `--service-account-signing-key-file=${pki('service-account.key')}`,
    `--kubelet-certificate-authority=${pki('ca.crt')}`,
    `--kubelet-client-certificate=${pki('kubelet-client.crt')}`,
    `--kubelet-client-key=${pki('kubelet-client.key')}`,
    '--kubelet-preferred-address-types=InternalIP',
    ...(throughNode ? [`--egress-selector-config-file=${files.egress}`] : []),
    '--profiling=false',
  ];
}

/** Connections into the cluster (webhooks, kubelets) go through the node's socket: the server runs outside its network. */
export function egressConfiguration(nodeSocket: string): string {
  return stringify({
    apiVersion: 'apiserver.k8s.io/v1beta1',
    kind: 'EgressSelectorConfiguration',
    egressSelections: [
      {
        name: 'cluster',
        connection: { proxyProtocol: 'HTTPConnect', transport: { uds: { udsName: nodeSocket } } },
      },
    ],
  });
}
