/** What is measured: a proxy, or a pair of them, between the client's pod and the server's pod. */
import type { HostPort } from '@mesh/control-api/convert';
import type { Pod } from '../pod.ts';
import type { TrustMaterial } from '../trust-material.ts';

export type Traffic = 'http' | 'grpc' | 'tcp';

/** What passes a stage, and how. */
export interface Scene {
  /** Part of the names of files. */
  readonly name: string;
  readonly traffic: Traffic;
  /**
   * False: one proxy, beside the client, plaintext on both sides. True: one beside the client and one beside the server,
   * mutual TLS between them.
   */
  readonly mtls: boolean;
  /** Between the two pods through a relay; 0: they reach each other directly. */
  readonly roundTripMs: number;
  /** Bodies are large, or there is no end to them: who can choose his buffers chooses them for that. */
  readonly large: boolean;
  /** The client is in another cluster and calls through the gateway of the server's. */
  readonly gateway: boolean;
}

/** Whom the server's sidecar admits. */
export function inboundPolicyOf({ gateway }: Scene): 'cluster-authenticated' | 'all-authenticated' {
  return gateway ? 'all-authenticated' : 'cluster-authenticated';
}

/** Where a contestant plays; each has pods of its own and meets the same ports, rules and application in them. */
export interface Stage {
  readonly scene: Scene;
  /** Holds the load generators and the outbound proxy. */
  readonly client: Pod;
  /** Holds the application and, with mTLS, the inbound proxy. */
  readonly server: Pod;
  /** Holds the gateway, if there is one. */
  readonly middle: Pod | undefined;
  /** Where the load generators connect to: an address that only the outbound proxy knows. Port 80. */
  readonly clusterIp: string;
  /** Endpoints of the service, as the outbound proxy dials them. */
  readonly endpoints: readonly HostPort[];
  /** Port of the application, as the inbound proxy dials it on loopback. */
  readonly appPort: number;
  readonly trust: TrustMaterial;
  /** For configurations and logs; readable by the proxies' user. */
  readonly directory: string;
  /** Of the repository. */
  readonly root: string;
  /** Of our sidecars, beside the usual. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Ports of proxies on every stage. */
export const proxyPorts = { outbound: 4140, inbound: 4143, admin: 4191 } as const;

/** Ports of the application: two endpoints for each kind of traffic. */
export const appPorts: Readonly<Record<Traffic, readonly [number, number]>> = {
  http: [8080, 8081],
  grpc: [9090, 9091],
  tcp: [7070, 7071],
};

/** Why other proxies do not play where a gateway is. */
export const noGateway = 'admission by the caller of another cluster is a thing of the mesh';

export type HopName = 'outbound' | 'gateway' | 'inbound';

/** One proxy on the way of a request. */
export interface Hop {
  readonly name: HopName;
  readonly pid: number;
}

export interface Contestant {
  /** Of `--only`, of files and in JSON. */
  readonly name: string;
  readonly title: string;
  /** Whether the pods redirect their traffic to proxies. */
  readonly intercepted: boolean;
  /** Why it does not play in a scene; undefined when it does. */
  declines(scene: Scene): string | undefined;
  /** Version of the program, or why it cannot run here. */
  probe(): { readonly version: string } | { readonly absent: string };
  /** Starts the proxies; they need not be ready yet. */
  start(stage: Stage): Hop[];
}
