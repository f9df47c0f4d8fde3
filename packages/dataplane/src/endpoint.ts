/** One endpoint of one service: how to reach it, what to call it, and its cells. */
import type { Member } from '@mesh/balance/member';
import { asksTunnel } from '@mesh/http/canonical';
import type { RequestHead } from '@mesh/http/message';
import type { Labels } from '@mesh/telemetry/metrics';
import { type EndpointSpec, needsHeader } from './endpoint-spec.ts';
import type { HttpCells } from './http-metrics.ts';
import type { ConnectFault } from './connector.ts';
import type { Lane } from './lane.ts';
import type { Peer, PeerListener, SocketObserver } from './peer.ts';
import type { PeerPool } from './peer-pool.ts';

export class Endpoint implements PeerListener {
  readonly spec: EndpointSpec;
  readonly peer: Peer;
  readonly cells: HttpCells;
  /** Its place in the balancer; set by the pool that made it. */
  member: Member<Endpoint> | undefined;
  readonly #peers: PeerPool;
  readonly #observer: SocketObserver | undefined;
  /** The proxy beside it, where opaque bytes go with a header; from the first of them on. */
  #proxy: Peer | undefined;

  /** @param peer held of `peers` for this endpoint, which gives it back */
  constructor(
    spec: EndpointSpec,
    {
      peer,
      peers,
      observer,
      cells,
    }: { peer: Peer; peers: PeerPool; observer?: SocketObserver | undefined; cells: HttpCells },
  ) {
    this.spec = spec;
    this.peer = peer;
    this.cells = cells;
    this.#peers = peers;
    this.#observer = observer;
    peer.watch(this);
  }

  onReachable(): void {
    this.member?.setReachable(this.reachable);
  }

  get reachable(): boolean {
    return this.peer.reachable && this.#proxy?.reachable !== false;
  }

  /** Why the last connect failed; undefined when it did not. */
  get lastFault(): ConnectFault | undefined {
    return this.peer.lastFault ?? this.#proxy?.lastFault;
  }

  /** Where opaque bytes with a transport header go. Kept, so that an endpoint that refuses them is left alone for a while. */
  transportPeer(): Peer {
    const { host, identity, port, transportPort } = this.spec;
    if (transportPort === 0 || transportPort === port) return this.peer;
    if (this.#proxy === undefined) {
      this.#proxy = this.#peers.hold({ host, port: transportPort, identity, gateway: false }, this.#observer);
      this.#proxy.watch(this);
      this.onReachable();
    }
    return this.#proxy;
  }

  /** Lets requests in flight end. */
  close(): void {
    this.member = undefined;
    for (const peer of [this.peer, this.#proxy]) {
      peer?.unwatch(this);
      if (peer !== undefined) this.#peers.release(peer);
    }
  }

  /** A proxy or gateway is at the other end. */
  get meshed(): boolean {
    return this.spec.identity !== undefined;
  }

  /**
   * The connections for a request. HTTP/1 goes inside HTTP/2 to a proxy that announces it; upgrades and CONNECT stay
   * HTTP/1, except through a gateway, which takes only HTTP/2 (RFC 8441).
   */
  lane(head: RequestHead): Lane {
    if (head.version === 20) return this.peer.h2;
    const { authorityOverride, protocol } = this.spec;
    const carried = this.meshed && (protocol === 'h2' || authorityOverride !== '' || needsHeader(this.spec));
    if (!carried) return this.peer.h1;
    return asksTunnel(head) && authorityOverride === '' ? this.peer.h1 : this.peer.h2;
  }
}

/** Labels of an outbound endpoint: how it is spoken to and what it is. */
export function outboundLabels(spec: EndpointSpec): Labels {
  const tls: Labels =
    spec.identity === undefined
      ? { tls: 'no_identity', no_tls_reason: 'not_provided_by_service_discovery' }
      : { tls: 'true', server_id: spec.identity };
  return {
    direction: 'outbound',
    ...tls,
    target_addr: spec.key,
    target_ip: spec.host,
    target_port: String(spec.port),
    ...spec.labels,
  };
}
