/** The balancer over simulated servers: what it makes of them, beside blind choice and beside perfect knowledge. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Random } from '@mesh/clock/clock';
import { seededRandom } from '@mesh/clock/seeded';
import { FakeClock } from '@mesh/testkit/fake-clock';
import fc from 'fast-check';
import { Balancer } from './balancer.ts';
import type { Member } from './member.ts';

/** As many requests at a time as its weight says; the others wait in order. */
class Server {
  readonly member: Member<Server>;
  /** Mean of its service time, ms; exponentially distributed. */
  meanMs: number;
  served = 0;
  /** When each of its workers is done with what it has. */
  readonly workers: number[];

  constructor(
    balancer: Balancer<Server>,
    key: string,
    { meanMs, weight }: { meanMs: number; weight: number },
  ) {
    this.meanMs = meanMs;
    this.workers = Array.from({ length: weight }, () => 0);
    this.member = balancer.upsert({ key, tier: 0, weight, ejectable: true, target: this });
  }
}

type Choose = (
  servers: readonly Server[],
  balancer: Balancer<Server>,
  now: number,
  random: Random,
) => Server | undefined;

const ours: Choose = (_, balancer, now) => balancer.pick(undefined, now)?.target;
const blind: Choose = (servers, _, __, random) => servers[Math.floor(random.next() * servers.length)];
/** Knows when each server will be free, and how fast it is. */
const perfect: Choose = (servers, _, now) => {
  const doneAt = ({ meanMs, workers }: Server): number => Math.max(now, ...workers) + meanMs;
  return servers.reduce((best, server) => (doneAt(server) < doneAt(best) ? server : best));
};

class Simulation {
  readonly clock = new FakeClock();
  readonly random: Random;
  readonly balancer: Balancer<Server>;
  readonly servers: Server[];
  readonly latencies: number[] = [];

  constructor(seed: number, servers: readonly { meanMs: number; weight?: number }[]) {
    this.random = seededRandom(seed);
    this.balancer = new Balancer<Server>({ clock: this.clock, random: seededRandom(seed + 1) });
    this.servers = servers.map(
      ({ meanMs, weight = 1 }, index) => new Server(this.balancer, `${index}`, { meanMs, weight }),
    );
  }

  /** Poisson arrivals for `ms` at `perMs`. */
  run(
    ms: number,
    { perMs, choose = ours, jitter = true }: { perMs: number; choose?: Choose; jitter?: boolean },
  ): void {
    const end = this.clock.now() + ms;
    while (this.clock.now() < end) {
      this.clock.advance(this.#exponential(1 / perMs));
      const server = choose(this.servers, this.balancer, this.clock.now(), this.random);
      if (server !== undefined) this.#serve(server, jitter);
    }
  }

  /** Share of requests per server since the last call. */
  shares(): number[] {
    const total = this.servers.reduce((sum, { served }) => sum + served, 0);
    return this.servers.map((server) => {
      const share = server.served / total;
      server.served = 0;
      return share;
    });
  }

  /** Latency that the given share of requests did not exceed, ms. */
  quantile(share: number): number {
    const sorted = this.latencies.toSorted((one, other) => one - other);
    return sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
  }

  #serve(server: Server, jitter: boolean): void {
    const now = this.clock.now();
    const { member } = server;
    server.served++;
    const worker = server.workers.indexOf(Math.min(...server.workers));
    const workMs = jitter ? this.#exponential(server.meanMs) : server.meanMs;
    const doneAt = Math.max(server.workers[worker] ?? 0, now) + workMs;
    server.workers[worker] = doneAt;
    const latency = doneAt - now;
    member.begin();
    this.clock.after(latency, () => {
      member.observe(latency, this.clock.now());
      member.succeed();
      member.end();
      this.latencies.push(latency);
    });
  }

  #exponential(mean: number): number {
    return -Math.log(1 - this.random.next()) * mean;
  }
}

function latencyOf(choose: Choose, seed: number): { p50: number; p99: number } {
  // Ten servers, two of them four times as slow; 70 % of what all can do.
  const servers = Array.from({ length: 10 }, (_, index) => ({ meanMs: index < 2 ? 40 : 10 }));
  const simulation = new Simulation(seed, servers);
  simulation.run(20_000, { perMs: 0.7 * (8 / 10 + 2 / 40), choose });
  return { p50: simulation.quantile(0.5), p99: simulation.quantile(0.99) };
}

void test('latency is near that of perfect knowledge, far from that of blind choice', () => {
  for (const seed of [1, 2, 3]) {
    const [mine, best, worst] = [latencyOf(ours, seed), latencyOf(perfect, seed), latencyOf(blind, seed)];
    const told = JSON.stringify({ seed, mine, best, worst });
    assert.ok(mine.p99 < best.p99 * 3, told);
    assert.ok(mine.p99 < worst.p99 / 4, told);
    assert.ok(mine.p50 < best.p50 * 2.5, told);
  }
});

void test('equals get equal shares, whatever their number, latency and load', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 8 }),
      fc.integer({ min: 1, max: 100 }),
      fc.double({ min: 0.1, max: 0.7, noNaN: true }),
      fc.nat(1000),
      (count, meanMs, load, seed) => {
        const simulation = new Simulation(
          seed,
          Array.from({ length: count }, () => ({ meanMs })),
        );
        const perMs = (load * count) / meanMs;
        simulation.run((count * 800) / perMs, { perMs });
        for (const share of simulation.shares()) {
          assert.ok(share > 0.6 / count && share < 1.5 / count, `${share} of ${count}`);
        }
      },
    ),
    { numRuns: 25 },
  );
});

void test('shares follow weights', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 2, maxLength: 5 }),
      fc.nat(1000),
      (weights, seed) => {
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const simulation = new Simulation(
          seed,
          weights.map((weight) => ({ meanMs: 10, weight })),
        );
        simulation.run(20_000, { perMs: (0.4 * total) / 10 });
        for (const [index, share] of simulation.shares().entries()) {
          const due = (weights[index] as number) / total;
          assert.ok(share > due * 0.5 && share < due * 1.7, `${share} for ${due} of ${weights.join(' ')}`);
        }
      },
    ),
    { numRuns: 15 },
  );
});

void test('a server that turns slow is left within a second, and has its share again when it recovers', () => {
  for (const seed of [5, 6, 7]) {
    const simulation = new Simulation(
      seed,
      Array.from({ length: 4 }, () => ({ meanMs: 5 })),
    );
    const [changed] = simulation.servers as [Server, ...Server[]];
    simulation.run(10_000, { perMs: 0.2 });
    simulation.shares();
    changed.meanMs = 200;
    simulation.run(1000, { perMs: 0.2 });
    simulation.shares();
    simulation.run(5000, { perMs: 0.2 });
    assert.ok((simulation.shares()[0] as number) < 0.05);
    changed.meanMs = 5;
    // Peaks are forgotten with a time constant of 10 s.
    simulation.run(50_000, { perMs: 0.2 });
    simulation.shares();
    simulation.run(5000, { perMs: 0.2 });
    assert.ok((simulation.shares()[0] as number) > 0.15);
  }
});

void test('no ready member starves, however slow it was once', () => {
  fc.assert(
    fc.property(fc.integer({ min: 100, max: 5000 }), fc.nat(1000), (peakMs, seed) => {
      const simulation = new Simulation(
        seed,
        Array.from({ length: 3 }, () => ({ meanMs: 5 })),
      );
      simulation.servers[0]?.member.observe(peakMs, simulation.clock.now());
      simulation.run(80_000, { perMs: 0.05, jitter: false });
      assert.ok((simulation.shares()[0] as number) > 0.02);
    }),
    { numRuns: 10 },
  );
});

void test('a removed member is never picked, from the next request on', () => {
  const simulation = new Simulation(
    9,
    Array.from({ length: 6 }, () => ({ meanMs: 5 })),
  );
  for (const gone of [0, 3, 5, 1]) {
    simulation.run(500, { perMs: 0.5 });
    simulation.balancer.remove(`${gone}`);
    simulation.shares();
    simulation.run(500, { perMs: 0.5 });
    assert.equal(simulation.servers[gone]?.served, 0);
  }
});
