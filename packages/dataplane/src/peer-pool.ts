/** All peers of a program, shared by address, port and identity, and swept for idle and aged connections. */
import type { Timer } from '@mesh/clock/clock';
import type { DialTarget } from './connector.ts';
import { peerTickMs } from './keep-alive.ts';
import { Peer, type PeerEnvironment, type SocketObserver } from './peer.ts';
import { SharedTicker } from './shared-ticker.ts';
import { SilentPaths } from './silent-paths.ts';

const sweepMs = 1000;

interface Held {
  readonly peer: Peer;
  holders: number;
}

export class PeerPool {
  readonly environment: PeerEnvironment;
  readonly #peers: Map<string, Held> = new Map();
  readonly #keys: WeakMap<Peer, string> = new WeakMap();
  /** Released, with requests in flight: what proved their connections expires all the same. */
  readonly #leaving: Set<Peer> = new Set();
  readonly #sweeper: Timer;
  readonly #ticker: SharedTicker;
  /** Connections that no PING watches. */
  readonly paths: SilentPaths;

  constructor(environment: PeerEnvironment) {
    this.environment = environment;
    this.paths = new SilentPaths(environment.limits, environment.clock);
    this.#ticker = new SharedTicker(environment.clock, peerTickMs);
    this.#sweeper = environment.clock.every(sweepMs, () => this.#sweep(), true);
  }

  /** The peer of this target; give it back with `release`. */
  hold(target: DialTarget, observer?: SocketObserver): Peer {
    const { host, port, identity = '', gateway, transportPort = 0 } = target;
    const key = `${host} ${port} ${identity} ${gateway} ${transportPort}`;
    const known = this.#peers.get(key);
    if (known !== undefined) {
      known.holders++;
      return known.peer;
    }
    const peer = new Peer(target, { ...this.environment, paths: this.paths, ticker: this.#ticker }, observer);
    this.#peers.set(key, { peer, holders: 1 });
    this.#keys.set(peer, key);
    return peer;
  }

  /** The last release lets requests in flight end and then closes the connections. */
  release(peer: Peer): void {
    const key = this.#keys.get(peer);
    const held = key === undefined ? undefined : this.#peers.get(key);
    if (key === undefined || held === undefined || held.peer !== peer) return;
    held.holders--;
    if (held.holders > 0) return;
    this.#peers.delete(key);
    peer.close({ graceful: true });
    if (peer.connected) this.#leaving.add(peer);
  }

  get size(): number {
    return this.#peers.size;
  }

  close(): void {
    this.#sweeper.cancel();
    for (const { peer } of this.#peers.values()) peer.close({ graceful: false });
    for (const peer of this.#leaving) peer.close({ graceful: false });
    this.#peers.clear();
    this.#leaving.clear();
  }

  #sweep(): void {
    this.paths.sweep();
    const { values } = this.environment.limits;
    const limits = { idleMs: values.http1_pool_idle_ms, ageMs: values.connection_age_ms };
    for (const { peer } of this.#peers.values()) peer.sweep(limits);
    for (const peer of this.#leaving) {
      peer.sweep(limits);
      if (!peer.connected) this.#leaving.delete(peer);
    }
  }
}
