/** Forwards opaque connections: one endpoint per connection, chosen by connect time and open connections. */
import type { Socket } from 'node:net';
import type { Member } from '@mesh/balance/member';
import type { Clock } from '@mesh/clock/clock';
import type { SyntheticReason } from '@mesh/http/synthetic';
import { dialledUntil } from '@mesh/trust/dial';
import type { Endpoint } from './endpoint.ts';
import type { EndpointPool, PoolWaiter } from './endpoint-pool.ts';
import type { OpaqueExpiry } from './opaque-expiry.ts';
import { type Behalf, dialOpaque } from './opaque-dial.ts';
import type { PeerPool } from './peer-pool.ts';
import { splice } from './splice.ts';

export interface TcpForwardOptions {
  readonly clock: Clock;
  readonly pool: EndpointPool;
  readonly peers: PeerPool;
  readonly expiry: OpaqueExpiry;
  /** Until when certificates prove the client and us to it, wall-clock milliseconds; Infinity without mesh TLS. */
  readonly clientUntil: number;
  /** Bytes that were read from the client and could not be put back. */
  readonly rest?: Buffer | undefined;
  /** Whom a gateway forwards for. */
  readonly behalf?: Behalf | undefined;
  /** Called once when both sides are gone or no endpoint could be reached; `fault` is empty for the former. */
  readonly onClose: (fault: string) => void;
}

/** Takes over `socket`. */
export function forwardTcp(socket: Socket, options: TcpForwardOptions): void {
  const forwarding = new TcpForwarding(socket, options);
  void forwarding.run();
}

class TcpForwarding {
  readonly #socket: Socket;
  readonly #options: TcpForwardOptions;

  constructor(socket: Socket, options: TcpForwardOptions) {
    this.#socket = socket;
    this.#options = options;
  }

  async run(): Promise<void> {
    const { clock, clientUntil, expiry, peers, pool, onClose, rest } = this.#options;
    const socket = this.#socket;
    const startedAt = clock.now();
    let avoid: Member<Endpoint> | undefined;
    if (!pool.admits()) {
      socket.destroy();
      onClose(`too many connections to ${pool.name} are open`);
      return;
    }
    let fault = '';
    while (!socket.destroyed) {
      const member = pool.pick(avoid);
      if (member === undefined) {
        const waited = await waitForEndpoint(pool, socket);
        if (waited !== '') {
          fault = fault === '' ? waited : fault;
          break;
        }
        continue;
      }
      member.begin();
      try {
        const upstream = await this.#connect(member);
        if (socket.destroyed) {
          upstream.destroy();
          member.end();
          break;
        }
        if (rest !== undefined) upstream.write(rest);
        peers.paths.follow(socket);
        peers.paths.follow(upstream);
        const spliced = splice(socket, upstream, () => {
          member.end();
          onClose('');
        });
        expiry.follow({
          name: pool.name,
          client: socket,
          upstream,
          until: Math.min(clientUntil, dialledUntil(upstream)),
          end: () => spliced.end(),
        });
        return;
      } catch (thrown) {
        member.end();
        member.forgo();
        fault = thrown instanceof Error ? thrown.message : String(thrown);
        avoid = member;
        if (clock.now() - startedAt >= pool.failfastMs) break;
      }
    }
    socket.destroy();
    onClose(fault === '' ? 'the client left' : fault);
  }

  async #connect(member: Member<Endpoint>): Promise<Socket> {
    const { clock, behalf } = this.#options;
    const startedAt = clock.now();
    const upstream = await dialOpaque(member.target, behalf);
    const now = clock.now();
    member.observe(now - startedAt, now);
    member.succeed();
    return upstream;
  }
}

/** Resolves with the empty text once an endpoint is ready, else with why none will be. */
function waitForEndpoint(pool: EndpointPool, socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    const settle = (fault: string): void => {
      socket.off('close', onClose);
      resolve(fault);
    };
    const waiter: PoolWaiter = {
      onEndpointsReady: () => settle(''),
      onEndpointsFailed: (_reason: SyntheticReason, detail: string) => settle(detail),
    };
    const onClose = (): void => {
      pool.withdraw(waiter);
      resolve('the client left');
    };
    socket.once('close', onClose);
    pool.wait(waiter);
  });
}
