/** What is measured: a proxy, or a pair of them, between the client's pod and the server's pod. */
import type { Pod } from '../pod.ts';
import type { TrustMaterial } from '../trust-material.ts';

/**
 * `plain`: one proxy beside the client, HTTP/1 or TCP on both sides.
 * `mtls`: one beside the client and one beside the server, mutual TLS between them.
 */
export type Mode = 'plain' | 'mtls';

/** Where a contestant plays; each has pods of its own and meets the same ports, rules and application in them. */
export interface Stage {
  readonly mode: Mode;
  /** Holds the load generators and the outbound proxy. */
  readonly client: Pod;
  /** Holds the application and, with mTLS, the inbound proxy. */
  readonly server: Pod;
  /** Where the load generators connect to: an address that only the outbound proxy knows. */
  readonly clusterIp: string;
  readonly trust: TrustMaterial;
  readonly control: {
    readonly host: string;
    readonly identityPort: number;
    readonly destinationPort: number;
  };
  /** For configurations and logs; readable by the proxies' user. */
  readonly directory: string;
  /** Of the repository. */
  readonly root: string;
}

/** Ports that every stage has: those of the application are the two endpoints of one service. */
export const ports = { outbound: 4140, inbound: 4143, admin: 4191, http: [8080, 8081] } as const;

/** One proxy on the way of a request. */
export interface Hop {
  readonly name: 'outbound' | 'inbound';
  readonly pid: number;
}

export interface Contestant {
  /** Of `--only`, of files and in JSON. */
  readonly name: string;
  readonly title: string;
  readonly modes: readonly Mode[];
  /** Whether the pods redirect their traffic to proxies. */
  readonly intercepted: boolean;
  /** Version of the program, or why it cannot run here. */
  probe(): { readonly version: string } | { readonly absent: string };
  /** Starts the proxies; they need not be ready yet. */
  start(stage: Stage): Hop[];
}
