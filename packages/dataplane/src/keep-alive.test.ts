import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '@mesh/clock/clock';
import { seededRandom } from '@mesh/clock/seeded';
import type { ClientStream } from '@mesh/http/message';
import { FakeClock } from '@mesh/testkit/fake-clock';
import {
  keepAlive,
  peerKeepAlive,
  peerTickMs,
  type PingableConnection,
  type Siblings,
} from './keep-alive.ts';
import { SharedTicker } from './shared-ticker.ts';
import { SimulatedPath } from './testing/simulated-path.ts';

/** A connection whose bytes travel a simulated path. */
class Connection implements PingableConnection {
  usable = true;
  readonly capacity = 1;
  activeStreams = 0;
  onChange: () => void = () => {};
  pings = 0;
  received = 0;
  acknowledgedBytes = 0;
  lastAckAt = 0;
  cut = false;
  readonly #clock: FakeClock;
  readonly #there: SimulatedPath;
  readonly #back: SimulatedPath;

  constructor(clock: FakeClock, there: SimulatedPath, back: SimulatedPath) {
    this.#clock = clock;
    this.#there = there;
    this.#back = back;
  }

  ping(onPong: (rttMs: number) => void): void {
    const sentAt = this.#clock.now();
    this.pings++;
    this.exchange(0, () => onPong(this.#clock.now() - sentAt));
  }

  /** One question and its answer, which takes the peer `workMs`. */
  exchange(workMs: number, onAnswer: () => void): void {
    const acknowledged = (): void => {
      this.lastAckAt = this.#clock.now();
    };
    const answer = (): void => {
      this.received++;
      onAnswer();
    };
    this.#there.send(
      () => this.#clock.after(workMs, () => this.#back.send(answer, acknowledged)),
      () => this.#back.acknowledge(acknowledged),
    );
  }

  request(): ClientStream {
    throw new Error('not used');
  }
  drain(): void {}
  destroy(): void {
    this.cut = true;
    this.usable = false;
    this.activeStreams = 0;
  }
}

interface Setup {
  readonly rttMs?: number;
  readonly loss?: number;
  readonly seed?: number;
  readonly clock?: FakeClock;
  readonly siblings?: Siblings;
}

function setup({ rttMs = 2, loss = 0, seed = 1, clock = new FakeClock(), siblings = new Set() }: Setup = {}) {
  const random = seededRandom(seed);
  const path = () => new SimulatedPath({ clock, random, delayMs: rttMs / 2, loss, recoveryMs: 350 });
  const [there, back] = [path(), path()];
  const connection = new Connection(clock, there, back);
  keepAlive(connection, {
    ticker: new SharedTicker(clock, peerTickMs),
    silenceMs: 1500,
    received: () => connection.received,
    path: () => ({
      probes: 0,
      unacked: 0,
      rttMs,
      lastAckMs: clock.now() - connection.lastAckAt,
      acknowledgedBytes: connection.acknowledgedBytes,
    }),
    onSilence: () => {},
    siblings,
    ...peerKeepAlive,
  });
  const setDead = (dead: boolean) => {
    there.dead = dead;
    back.dead = dead;
  };
  const stall = (ms: number) => {
    there.stall(ms);
    back.stall(ms);
  };
  return { clock, random, connection, setDead, stall };
}

/** How long until the connection is cut, ms. */
function cutAfter({ clock, connection }: { clock: FakeClock; connection: Connection }): number {
  const start = clock.now();
  while (!connection.cut && clock.now() - start < 60_000) clock.advance(1);
  return clock.now() - start;
}

for (const [rttMs, most] of [
  [0, 1500],
  [20, 1500],
  [200, 1500],
  [400, 2400],
] as const) {
  void test(`at ${rttMs} ms a black hole is noticed within ${most} ms, whenever it begins`, () => {
    for (let offset = 0; offset < 120; offset += 7) {
      const all = setup({ rttMs });
      all.connection.activeStreams = 1;
      all.clock.advance(3000 + offset);
      all.setDead(true);
      const took = cutAfter(all);
      assert.ok(took <= most, `${took} ms after an offset of ${offset} ms`);
      assert.ok(took > most - 150 - rttMs, `${took} ms is rash`);
    }
  });
}

void test('where one connection fell silent, those to the same peer that brought nothing since are not used either', () => {
  const clock = new FakeClock();
  const siblings: Siblings = new Set();
  const [busy, idle, late, fresh, alive] = [1, 2, 3, 4, 5].map(() => setup({ rttMs: 200, clock, siblings }));
  assert.ok(busy && idle && late && fresh && alive);
  busy.connection.activeStreams = 1;
  clock.advance(3000);
  for (const one of [busy, idle, late, fresh]) one.setDead(true);
  clock.advance(900);
  late.connection.activeStreams = 1;
  const pongs = clock.every(100, () => alive.connection.received++);
  clock.advance(400);
  fresh.connection.activeStreams = 1;
  const waitedMs = cutAfter({ clock, connection: busy.connection });
  assert.ok(900 + 400 + waitedMs <= 1500);
  assert.deepEqual(
    [idle, late, fresh, alive].map(({ connection }) => connection.cut),
    [true, true, false, false],
    'a request that is younger than two round trips may still be answered',
  );
  clock.advance(500);
  assert.equal(fresh.connection.cut, true);
  clock.advance(10_000);
  assert.equal(alive.connection.cut, false);
  pongs.cancel();
  assert.equal(siblings.size, 1);
});

void test('a suspicion ends with the first byte', () => {
  const clock = new FakeClock();
  const siblings: Siblings = new Set();
  const [dead, alive] = [1, 2].map(() => setup({ rttMs: 200, clock, siblings }));
  assert.ok(dead && alive);
  dead.connection.activeStreams = 1;
  dead.setDead(true);
  clock.advance(1300);
  alive.connection.activeStreams = 1;
  clock.advance(30_000);
  assert.deepEqual([dead.connection.cut, alive.connection.cut], [true, false]);
});

void test('a connection on which nothing is waited for is not pinged, nor cut', () => {
  const { clock, connection, setDead } = setup();
  setDead(true);
  clock.advance(60_000);
  assert.equal(connection.pings, 0);
  assert.equal(connection.cut, false);
  connection.activeStreams = 1;
  clock.advance(1499);
  assert.equal(connection.cut, true);
});

void test('a connection that brings bytes all the time is not pinged', () => {
  const { clock, connection } = setup();
  connection.activeStreams = 1;
  for (let tick = 0; tick < 1000; tick++) {
    connection.received++;
    clock.advance(49);
  }
  assert.equal(connection.pings, 0);
});

void test('a request that waits long asks at most ten times per second', () => {
  for (const rttMs of [0, 60, 200]) {
    const { clock, connection } = setup({ rttMs });
    connection.activeStreams = 1;
    clock.advance(60_000);
    assert.equal(connection.cut, false);
    assert.ok(connection.pings <= 600, `${connection.pings} PINGs at ${rttMs} ms`);
  }
});

void test('a pause of our own loop is not taken for silence', () => {
  const { clock, connection } = setup({ rttMs: 20 });
  connection.activeStreams = 1;
  clock.advance(1000);
  // Ten seconds in which no timer fired: the answers wait in the socket, one tick comes.
  connection.received++;
  clock.advance(50);
  assert.equal(connection.cut, false);
});

void test('a long upload on a slow path is not cut while the other kernel takes it', () => {
  const { clock, connection, setDead } = setup();
  connection.activeStreams = 1;
  setDead(true);
  const acknowledge = (bytes: number): void => {
    connection.acknowledgedBytes += bytes;
    connection.lastAckAt = clock.now();
    clock.advance(50);
  };
  for (let tick = 0; tick < 200; tick++) acknowledge(1460);
  assert.equal(connection.cut, false);
  // PINGs alone are acknowledged: the kernel is there, the process is not.
  for (let tick = 0; tick < 30; tick++) acknowledge(20);
  assert.equal(connection.cut, true);
});

/** Half an hour at 200 ms and 1 % loss, standing still once a minute; true when the connection was cut. */
function halfHour(seed: number, stallMs: number): boolean {
  const { clock, random, connection, stall } = setup({ rttMs: 200, loss: 0.01, seed });
  let nextRequest = 0;
  for (let minute = 0; minute < 30; minute++) {
    const stallAt = minute * 60_000 + Math.floor(random.next() * 50_000);
    clock.after(stallAt - clock.now(), () => stall(stallMs));
    while (clock.now() < (minute + 1) * 60_000) {
      if (clock.now() >= nextRequest && !connection.cut) {
        connection.activeStreams++;
        connection.exchange(random.next() * 2000, () => connection.activeStreams--);
        nextRequest = clock.now() + random.next() * 1500;
      }
      clock.advance(50);
    }
  }
  return connection.cut;
}

void test('half an hour at 200 ms with 1 % loss and a stall of 1 s each minute: no false alarm', () => {
  for (let seed = 1; seed <= 8; seed++) assert.equal(halfHour(seed, 1000), false, `seed ${seed}`);
  assert.equal(
    halfHour(1, 1600),
    true,
    'the same with longer stalls is an alarm, so this path can raise one',
  );
});

void test('the timer ends with the connection', () => {
  const { clock, connection } = setup();
  connection.usable = false;
  clock.advance(50);
  assert.equal(clock.pending, 0);
});

void test('all connections of a process share one timer, which ends with the last of them', () => {
  const clock = new FakeClock();
  const ticker = new SharedTicker(clock, 50);
  const ticks = [0, 0, 0];
  const timers = ticks.map((_, index) =>
    ticker.add(() => {
      ticks[index] = (ticks[index] ?? 0) + 1;
    }),
  );
  assert.equal(clock.pending, 1);
  clock.advance(100);
  timers[0]?.cancel();
  clock.advance(50);
  assert.deepEqual(ticks, [2, 3, 3]);
  for (const timer of timers) timer.cancel();
  assert.equal(clock.pending, 0);
  ticker.add(() => {}).cancel();
  assert.equal(clock.pending, 0);
});

void test('a tick that is late does not put off the next; after a pause there is one', () => {
  let now = 0;
  let due = (): void => {};
  const delays: number[] = [];
  const clock: Clock = {
    now: () => now,
    wall: () => now,
    after: (delayMs, task) => {
      delays.push(delayMs);
      due = task;
      return { cancel: () => {} };
    },
    every: () => assert.fail('its ticks would drift'),
  };
  let ticks = 0;
  new SharedTicker(clock, 50).add(() => ticks++);
  for (const at of [57, 103, 150, 420]) {
    now = at;
    due();
  }
  assert.deepEqual(delays, [50, 43, 47, 50, 50]);
  assert.equal(ticks, 4);
});
