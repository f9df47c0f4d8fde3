/** What the bench's control plane tells proxies; written by the bench, read by the control plane's process. */
export interface ServedEndpoint {
  readonly host: string;
  readonly port: number;
  /** Undefined: plaintext. */
  readonly identity?: string;
}

export interface ServedService {
  /** `ip:port` that clients dial. */
  readonly clusterIp: string;
  readonly name: string;
  readonly opaque: boolean;
  readonly endpoints: readonly ServedEndpoint[];
}

export interface ControlPlaneTable {
  readonly host: string;
  readonly identityPort: number;
  readonly destinationPort: number;
  readonly issuer: { readonly certificate: string; readonly key: string };
  readonly anchorsPem: string;
  readonly services: readonly ServedService[];
}
