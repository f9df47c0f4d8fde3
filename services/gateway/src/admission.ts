/**
 * Who may call what: the gateway's one decision, pure. Everything that the table does not name is refused, with a
 * reason from a closed set, which is also a metric label.
 */
import type { Export, GatewayTable } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import type { SyntheticReason } from '@mesh/http/synthetic';
import { mirrorIdentity, type PeerIdentity } from '@mesh/trust/names';

/** What callers hear, by which answer of `syntheticCauses`, and what to do about it. */
interface AdmissionRefusalFacts {
  readonly text: string;
  readonly answer: SyntheticReason;
  readonly remedy: string;
}

export const admissionRefusals = {
  'no-table': {
    text: 'the gateway does not know its exports yet',
    answer: 'failfast',
    remedy:
      'Wait for its first table; if it does not come, `/ready` on port 4191 of the gateway says why the destination service does not answer.',
  },
  'peer-not-linked': {
    text: 'the cluster of the caller is not linked',
    answer: 'unauthorized',
    remedy: 'Link the clusters: `mesh multicluster link`.',
  },
  'peer-not-allowed': {
    text: 'the link to the cluster of the caller does not allow it to call',
    answer: 'unauthorized',
    remedy: 'Set `allow: true` in the Link.',
  },
  'bad-authority': {
    text: 'the authority is not SERVICE.NAMESPACE.svc.DOMAIN:PORT',
    answer: 'bad-request',
    remedy: 'Call by the name of the mirrored service, through a proxy of the mesh.',
  },
  'bad-header': {
    text: 'the transport header is malformed or did not come in time',
    answer: 'bad-request',
    remedy: 'Call through a proxy of the mesh.',
  },
  'no-name': {
    text: 'the transport header names no service; a gateway is no way to a port of its own',
    answer: 'bad-request',
    remedy: 'Call by the name of the mirrored service, through a proxy of the mesh.',
  },
  'not-exported': {
    text: 'the service is not exported',
    answer: 'unknown-service',
    remedy: 'Label the Service `mirror.mesh.io/exported=true`.',
  },
  'port-not-exported': {
    text: 'the service is exported without this port',
    answer: 'unknown-service',
    remedy: 'Call a port that the Service has.',
  },
  'cluster-not-allowed': {
    text: 'the service is not exported to the cluster of the caller',
    answer: 'unauthorized',
    remedy: 'Add the cluster to `mirror.mesh.io/allowed-clusters` of the Service.',
  },
  'identity-not-allowed': {
    text: 'the service is not exported to this caller',
    answer: 'unauthorized',
    remedy: 'Add the identity to those that the export allows.',
  },
  'not-a-mirror': {
    text: 'only mirror controllers may call the federation API',
    answer: 'unauthorized',
    remedy: 'Nothing, unless a mirror controller runs under another service account than its own.',
  },
  'too-many-exports': {
    text: 'too many exports are called at once',
    answer: 'overloaded',
    remedy: 'Call fewer, or run more gateways: one follows `discovered_targets` of them at a time.',
  },
  loop: {
    text: 'the request passed this cluster before',
    answer: 'loop',
    remedy: 'Look at the exports of both clusters: each sends the service to the other.',
  },
} as const satisfies Record<string, AdmissionRefusalFacts>;

export type AdmissionRefusal = keyof typeof admissionRefusals;

export type Admission =
  | { kind: 'export'; service: Export; port: Export['ports'][number]; authority: string }
  | { kind: 'federation' }
  | { kind: 'refused'; reason: AdmissionRefusal };

const refused = (reason: AdmissionRefusal): Admission => ({ kind: 'refused', reason });

/** The table, indexed once per update. */
export class AdmissionTable {
  readonly table: GatewayTable;
  readonly #suffix: string;
  readonly #clusterDomain: string;
  readonly #exports: Map<string, Export> = new Map();
  readonly #peers: Map<string, boolean> = new Map();

  constructor(table: GatewayTable, { suffix, clusterDomain }: { suffix: string; clusterDomain: string }) {
    this.table = table;
    this.#suffix = suffix;
    this.#clusterDomain = clusterDomain;
    for (const each of table.exports) this.#exports.set(`${each.name}.${each.namespace}`, each);
    for (const { cluster, allow } of table.peers) this.#peers.set(cluster, allow);
  }

  /** Undefined when connections of this cluster are welcome. */
  refusesCluster(cluster: string): AdmissionRefusal | undefined {
    const allow = this.#peers.get(cluster);
    if (allow === undefined) return 'peer-not-linked';
    return allow ? undefined : 'peer-not-allowed';
  }

  /** `authority`: canonical `host:port`. */
  admit(caller: PeerIdentity, authority: string): Admission {
    const cluster = this.refusesCluster(caller.cluster);
    if (cluster !== undefined) return refused(cluster);
    const { federation } = this.table;
    if (
      federation !== undefined &&
      (authority === federation.authority || authority === `${federation.authority}:80`)
    ) {
      return caller.name === mirrorIdentity(caller.cluster, this.#suffix)
        ? { kind: 'federation' }
        : refused('not-a-mirror');
    }
    const parsed = this.#parse(authority);
    if (parsed === undefined) return refused('bad-authority');
    const service = this.#exports.get(parsed.name);
    if (service === undefined) return refused('not-exported');
    if (!service.allowAllClusters && !service.allowedClusters.includes(caller.cluster))
      return refused('cluster-not-allowed');
    if (service.allowedIdentities.length > 0 && !service.allowedIdentities.includes(caller.name)) {
      return refused('identity-not-allowed');
    }
    const port = service.ports.find(({ port: number }) => number === parsed.port);
    if (port === undefined) return refused('port-not-exported');
    return {
      kind: 'export',
      service,
      port,
      authority: `${parsed.name}.svc.${this.#clusterDomain}:${parsed.port}`,
    };
  }

  /** `svc.ns` and port of an authority in the cluster's own domain. */
  #parse(authority: string): { name: string; port: number } | undefined {
    const match = /^([a-z0-9-]{1,63}\.[a-z0-9-]{1,63})\.svc\.([a-z0-9.-]+):(\d{1,5})$/.exec(authority);
    if (match === null || match[2] !== this.#clusterDomain) return undefined;
    return { name: match[1] ?? '', port: Number(match[3]) };
  }
}
