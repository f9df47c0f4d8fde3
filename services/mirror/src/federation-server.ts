/**
 * Serves this cluster's exports to its peers (mesh.federation.v1). Callers come through our own gateway, which
 * verified them and stamps who they are; nobody else is believed. A peer sees exactly what its Link allows, and is
 * cut off as soon as that ends.
 */
import type { Clock } from '@mesh/clock/clock';
import { type EventSchema, Federation } from '@mesh/control-api/gen/mesh/federation/v1/federation_pb';
import { type GrpcRoutes, grpcService } from '@mesh/control-api/grpc-server';
import type { GrpcSink } from '@mesh/control-api/response-sink';
import { GrpcError, grpcCode } from '@mesh/control-api/status';
import { getHeader } from '@mesh/http/headers';
import { parseKey } from '@mesh/kube/objects';
import type { LinkSpec } from '@mesh/multicluster/link';
import type { Gauge } from '@mesh/telemetry/metrics';
import { gatewayIdentity, mirrorIdentity, type PeerIdentity, trustDomain } from '@mesh/trust/names';
import type { ExportTable } from './export-table.ts';
import { protocolVersion } from './peer-view.ts';

const beatMs = 1000;

interface FederationOptions {
  cluster: string;
  suffix: string;
  exports: ExportTable;
  clock: Clock;
  /** Names this run of the process; different after every start. */
  epoch: bigint;
  link: (cluster: string) => LinkSpec | undefined;
  onLinkChange: (listener: (cluster: string) => void) => () => void;
  subscribers: Gauge;
}

export function federationService(options: FederationOptions): GrpcRoutes<PeerIdentity> {
  return grpcService<typeof Federation, PeerIdentity>(Federation, {
    subscribe(request, sink, call) {
      const caller = peerOf(options, call.peer, getHeader(call.headers, 'l5d-client-id'));
      if (caller !== request.cluster) {
        throw new GrpcError(
          grpcCode.permissionDenied,
          `the certificate is of cluster ${caller}, the request claims ${JSON.stringify(request.cluster.slice(0, 80))}`,
        );
      }
      if (request.protocol !== protocolVersion) {
        throw new GrpcError(
          grpcCode.failedPrecondition,
          `federation protocol ${request.protocol} is not served here, ${protocolVersion} is; upgrade the older mesh`,
        );
      }
      new Subscription(options, caller, sink).start();
    },
  });
}

/** The cluster that asks. @throws GrpcError PERMISSION_DENIED naming what is missing */
function peerOf(options: FederationOptions, connection: PeerIdentity, stamped: string | undefined): string {
  const { cluster, suffix } = options;
  if (connection.name !== gatewayIdentity(cluster, suffix)) {
    throw new GrpcError(
      grpcCode.permissionDenied,
      `only this cluster's gateway may call; ${connection.name} is not it`,
    );
  }
  // The gateway overwrites the header with the identity it verified, so the text can be trusted from here on.
  const domain = stamped?.split('.serviceaccount.identity.')[1] ?? '';
  const peer = domain.split('.')[1] ?? '';
  if (stamped === undefined || stamped !== mirrorIdentity(peer, suffix)) {
    throw new GrpcError(
      grpcCode.permissionDenied,
      `${stamped ?? 'a caller without identity'} is no mirror controller of a cluster`,
    );
  }
  if (!allowed(options, peer)) {
    throw new GrpcError(
      grpcCode.permissionDenied,
      `cluster ${peer} is not allowed by a Link of cluster ${cluster}; run: mesh multicluster link ${cluster} ${peer}`,
    );
  }
  return peer;
}

function allowed({ link }: FederationOptions, peer: string): boolean {
  const spec = link(peer);
  return spec !== undefined && spec.allow !== false;
}

class Subscription {
  readonly #options: FederationOptions;
  readonly #peer: string;
  readonly #sink: GrpcSink<typeof EventSchema>;
  readonly #sent: Set<string> = new Set();
  /** Keys whose change waits for room; read from the table when sent, so that nothing is queued twice. */
  readonly #dirty: Set<string> = new Set();
  #sequence = 0n;
  #snapshotSent = false;
  #blocked = false;

  constructor(options: FederationOptions, peer: string, sink: GrpcSink<typeof EventSchema>) {
    this.#options = options;
    this.#peer = peer;
    this.#sink = sink;
  }

  start(): void {
    const { exports, clock, cluster, suffix, onLinkChange, subscribers } = this.#options;
    this.#send({
      case: 'hello',
      value: { protocol: protocolVersion, features: [], cluster, trustDomain: trustDomain(cluster, suffix) },
    });
    for (const key of exports.keys()) this.#dirty.add(key);
    this.#flush();
    subscribers.add(1);
    const stopChanges = exports.onChange((key) => {
      this.#dirty.add(key);
      this.#flush();
    });
    const stopLinks = onLinkChange((changed) => {
      if (changed === this.#peer && !allowed(this.#options, this.#peer)) {
        stop();
        this.#sink.end({
          code: grpcCode.permissionDenied,
          message: `the Link of cluster ${this.#peer} no longer allows it`,
        });
      }
    });
    const beat = clock.every(beatMs, () => this.#beat());
    const stop = (): void => {
      stopChanges();
      stopLinks();
      beat.cancel();
      subscribers.add(-1);
    };
    this.#sink.onCancel(stop);
    this.#sink.onDrain(() => {
      this.#blocked = false;
      this.#flush();
    });
  }

  #flush(): void {
    for (const key of this.#dirty) {
      if (this.#blocked) return;
      this.#dirty.delete(key);
      this.#publish(key);
    }
    if (!this.#blocked && !this.#snapshotSent) {
      this.#snapshotSent = true;
      this.#send({ case: 'snapshotEnd', value: { count: this.#sent.size } });
    }
  }

  #publish(key: string): void {
    const record = this.#options.exports.visible(key, this.#peer);
    if (record !== undefined) {
      this.#sent.add(key);
      this.#send({ case: 'export', value: record });
    } else if (this.#sent.delete(key)) {
      const { namespace = '', name } = parseKey(key);
      this.#send({ case: 'removed', value: { namespace, name } });
    }
  }

  #beat(): void {
    if (!this.#blocked) this.#send({ case: 'beat', value: {} });
  }

  #send(event: NonNullable<Parameters<GrpcSink<typeof EventSchema>['send']>[0]['event']>): void {
    this.#sequence++;
    if (!this.#sink.send({ epoch: this.#options.epoch, seq: this.#sequence, event })) this.#blocked = true;
  }
}
