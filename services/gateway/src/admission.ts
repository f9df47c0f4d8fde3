/**
 * Who may call what: the gateway's one decision, pure. Everything that the table does not name is refused, with a
 * reason from a closed set, which is also a metric label.
 */
import type { Export, GatewayTable } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import { mirrorIdentity, type PeerIdentity } from '@mesh/trust/names';

export type AdmissionRefusal =
  | 'no-table'
  | 'peer-not-linked'
  | 'peer-not-allowed'
  | 'bad-authority'
  | 'bad-header'
  | 'no-name'
  | 'not-exported'
  | 'port-not-exported'
  | 'cluster-not-allowed'
  | 'identity-not-allowed'
  | 'not-a-mirror'
  | 'loop';

export const admissionText: Readonly<Record<AdmissionRefusal, string>> = {
  'no-table': 'the gateway does not know its exports yet',
  'peer-not-linked': 'the cluster of the caller is not linked',
  'peer-not-allowed': 'the link to the cluster of the caller does not allow it to call',
  'bad-authority': 'the authority is not SERVICE.NAMESPACE.svc.DOMAIN:PORT',
  'bad-header': 'the transport header is malformed or did not come in time',
  'no-name': 'the transport header names no service; a gateway is no way to a port of its own',
  'not-exported': 'the service is not exported',
  'port-not-exported': 'the service is exported without this port',
  'cluster-not-allowed': 'the service is not exported to the cluster of the caller',
  'identity-not-allowed': 'the service is not exported to this caller',
  'not-a-mirror': 'only mirror controllers may call the federation API',
  loop: 'the request passed this cluster before',
};

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
