import { addressAt, parseCidr } from '@mesh/kube/cidr';
import { underlay } from './topology.ts';

/** What the world process is told of one cluster. */
export interface WorldCluster {
  readonly name: string;
  readonly podCidr: string;
  readonly serviceCidr: string;
  readonly gatewayCidr: string;
  /** Unix socket of the API server. */
  readonly apiSocket: string;
  /** Port of the API server in the endpoint of the Service kubernetes. */
  readonly apiPort: number;
  readonly kubeconfig: string;
  /** Certificate and key of the node's own server. */
  readonly servingFile: string;
  /** Unix socket that the node makes. */
  readonly controlSocket: string;
  readonly podLogs: string;
  /** Log file of the node agent. */
  readonly nodeLog: string;
  /** Empty directory that the node covers with its tmpfs. */
  readonly runDirectory: string;
}

/** The file the world is started with. */
export interface WorldPlan {
  readonly bundleDirectory: string;
  readonly logLevel: string;
  readonly clusters: readonly WorldCluster[];
}

const reserved = parseCidr(underlay) ?? { base: 0, prefix: 24 };

/** The fabric's own address: next hop of every node. */
export const fabricAddress = addressAt(reserved, 254);

/** Address of the node of cluster number `index`. */
export function nodeAddress(index: number): string {
  return addressAt(reserved, index + 1);
}
