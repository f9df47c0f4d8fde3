/**
 * The attacks of testing/attacks.ts on real sockets: beside the end of the attacker, what they make this process hold, and that a
 * victim on another connection is served all the while. Floods in which only a limit and its counter matter are in
 * floods.test.ts. What latency the victim has is for `npm run endurance -- attacks`.
 */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import type { ServerConnection } from '@mesh/http/message';
import { LimitLedger } from '@mesh/limits/limits';
import type { AttackSite } from '@mesh/testkit/attack';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { retainedBytes } from '@mesh/testkit/retained-bytes';
import { ClientSockets, dialTcp, listen } from '@mesh/testkit/servers';
import { assertUnharmed, besideVictim } from '@mesh/testkit/victim';
import { connectHttp2 } from './client.ts';
import { type Http2LimitName, http2Limits, type Http2Limits } from './limits.ts';
import { serveHttp2 } from './server.ts';
import { http2Attacks } from './testing/attacks.ts';
import { EchoListener, requestHead, send } from './testing/exchange.ts';

/** What the victim and the attackers talk to; each connection has a listener of its own. */
class Target implements AttackSite {
  readonly limits: Http2Limits = new LimitLedger(http2Limits);
  readonly clock: FakeClock = new FakeClock();
  readonly connections: { server: ServerConnection; listener: EchoListener }[] = [];
  readonly longestPassMs = Number.POSITIVE_INFINITY;
  readonly scale = 1;
  readonly #sockets: ClientSockets;
  port = 0;
  /** Of attackers that were let go of. */
  #formerRequests = 0;
  #markedBytes = 0;
  /** The victim's connection watches whether it is idle. */
  #markedTimers = 1;

  constructor(t: TestContext) {
    this.#sockets = new ClientSockets(t);
  }

  async listen(t: TestContext): Promise<void> {
    const { port } = await listen(t, (socket) => {
      const listener = new EchoListener();
      const server = serveHttp2(socket, listener, { clock: this.clock, limits: this.limits });
      this.connections.push({ server, listener });
    });
    this.port = port;
  }

  /** What the application saw on attackers' connections; the victim's is the first. */
  get attacked(): EchoListener[] {
    return this.connections.slice(1).map(({ listener }) => listener);
  }

  connect(): Promise<Socket> {
    return this.#sockets.connect(this.port);
  }

  connectPlain(): Promise<Socket> {
    return this.connect();
  }

  async requests(): Promise<number> {
    return this.attacked.reduce((sum, { heads }) => sum + heads.length, this.#formerRequests);
  }

  async hits(limit: string): Promise<number> {
    return this.limits.hits(limit as Http2LimitName);
  }

  async pass(ms: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 5));
    this.clock.advance(ms);
  }

  mark(): void {
    this.#markedBytes = retainedBytes();
    this.#markedTimers = this.clock.pending;
  }

  async holdsAtMost(most: number): Promise<void> {
    let held = 0;
    await eventually(`no more than ${most} bytes are held`, () => {
      held = retainedBytes() - this.#markedBytes;
      return held <= most;
    }).catch((cause: unknown) => {
      throw new Error(`${held} bytes are held, more than ${most}`, { cause });
    });
  }

  /** When none is left, neither are their timers, and what their applications saw is let go of. */
  async open(): Promise<number> {
    const open = this.attacked.filter(({ closed }) => closed === 0).length;
    if (open > 0) return open;
    assert.ok(this.clock.pending <= this.#markedTimers, 'timers are left');
    this.#formerRequests = await this.requests();
    this.connections.length = 1;
    return 0;
  }
}

/** What only the application can tell, when an attack is over. */
const applicationSaw: Readonly<Record<string, (attacked: readonly EchoListener[]) => void>> = {
  'H2-9': ([listener]) => {
    // 64 KiB of each wait, and the piece that said stop.
    const { written = 0 } = listener ?? {};
    assert.ok(written > 0 && written <= 100 * (65_536 + 2 * 16_384), `${written} bytes taken from it`);
    assert.equal(listener?.resets.length, 100);
  },
  'H2-15': ([listener]) => {
    assert.deepEqual(listener?.resets, ['cancel']);
    assert.equal(listener.received + listener.ended, 0, 'DATA of a stream that was reset was delivered');
  },
  'H2-18': (attacked) => {
    for (const { ended, resets, heads } of attacked) {
      assert.equal(ended, 0);
      assert.equal(resets.length, heads.length, 'an application believes to have the whole request');
    }
  },
  'H2-19': ([, listener]) => {
    assert.ok((listener?.received ?? 0) <= 65_536);
  },
};

test('every attack of the survey is here', () => {
  assert.deepEqual(
    http2Attacks.map(({ id }) => id),
    Array.from({ length: 21 }, (_, index) => `H2-${index + 1}`),
  );
});

for (const { id, what, run } of http2Attacks) {
  test(`${id}: ${what}`, async (t) => {
    const target = new Target(t);
    await target.listen(t);
    const own = { clock: systemClock, limits: new LimitLedger(http2Limits) };
    const victim = connectHttp2(await dialTcp(t, target.port), own);
    t.after(() => victim.destroy());
    const report = await besideVictim(
      async () => {
        const answer = send(victim, requestHead('/victim'));
        await answer.done;
        assert.equal(answer.resetReason, undefined);
        assert.equal(answer.body, '/victim');
      },
      () => run(target),
    );
    assertUnharmed(report);
    applicationSaw[id]?.(target.attacked);
    assert.equal(target.connections[0]?.listener.closed, 0, 'the victim kept its connection');
  });
}
