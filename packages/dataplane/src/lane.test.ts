import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { test } from 'node:test';
import type { ClientConnection, ClientStream } from '@mesh/http/message';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { ConnectError } from './connector.ts';
import { Lane, type LaneFault, type LaneOptions, type Submission } from './lane.ts';

/** A connection with a number of streams, kept by hand. */
class Connection implements ClientConnection {
  usable = true;
  activeStreams = 0;
  drained = false;
  destroyed = false;
  onChange: () => void = () => {};
  #streams: number;

  constructor(streams: number) {
    this.#streams = streams;
  }

  allow(streams: number): void {
    this.#streams = streams;
    this.onChange();
  }

  get capacity(): number {
    return this.usable ? this.#streams - this.activeStreams : 0;
  }

  release(): void {
    this.activeStreams--;
    if (this.drained && this.activeStreams === 0) this.usable = false;
    this.onChange();
  }

  request(): ClientStream {
    throw new Error('not used');
  }

  drain(): void {
    this.drained = true;
    this.usable = false;
    this.onChange();
  }

  destroy(): void {
    this.destroyed = true;
    this.usable = false;
    this.activeStreams = 0;
    this.onChange();
  }
}

class Request implements Submission {
  connection: Connection | undefined;
  fault: LaneFault | undefined;

  onConnection(connection: ClientConnection): void {
    this.connection = connection as Connection;
    this.connection.activeStreams++;
  }

  onConnectFailed(fault: LaneFault): void {
    this.fault = fault;
  }
}

function setup(changes: Partial<LaneOptions> & { streams: number }) {
  const clock = new FakeClock();
  const opened: Connection[] = [];
  const dials: { resolve: () => void; reject: (error: Error) => void }[] = [];
  const limits: string[] = [];
  const verdicts: string[] = [];
  const lane = new Lane({
    clock,
    expiry: () => ({ endingAt: Number.POSITIVE_INFINITY, until: Number.POSITIVE_INFINITY }),
    dial: () =>
      new Promise((resolve, reject) => {
        dials.push({ resolve: () => resolve(new Socket()), reject });
      }),
    wrap: () => {
      const connection = new Connection(changes.streams);
      opened.push(connection);
      return { connection, confirmed: undefined };
    },
    exclusive: changes.streams === 1,
    maxConnections: 3,
    maxWaiters: 100,
    connectMs: 1000,
    onFailure: ({ kind }) => verdicts.push(kind),
    onSuccess: () => verdicts.push('ok'),
    onLimit: (name) => limits.push(name),
    ...changes,
  });
  const submit = (): Request => {
    const request = new Request();
    lane.submit(request);
    return request;
  };
  /** Lets every dial that was begun succeed. */
  const connect = async (): Promise<void> => {
    for (const { resolve } of dials.splice(0)) resolve();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { clock, lane, opened, dials, limits, verdicts, submit, connect };
}

void test('HTTP/2: one connection for all, another only when its streams are used up', async () => {
  const { opened, submit, connect } = setup({ streams: 4 });
  const requests = [submit(), submit(), submit()];
  await connect();
  assert.equal(opened.length, 1);
  for (const { connection } of requests) assert.equal(connection, opened[0]);
  submit();
  const fifth = submit();
  assert.equal(fifth.connection, undefined);
  await connect();
  assert.equal(opened.length, 2);
  assert.equal(fifth.connection, opened[1]);
});

void test('HTTP/2: a stream that ends serves who waits, before the further connection is there', async () => {
  const { opened, submit, connect } = setup({ streams: 1, exclusive: false });
  submit();
  await connect();
  const second = submit();
  opened[0]?.release();
  assert.equal(second.connection, opened[0]);
});

void test('HTTP/1: a connection for each request, used again afterwards, the last one first', async () => {
  const { opened, submit, connect } = setup({ streams: 1 });
  const [first, second] = [submit(), submit()];
  await connect();
  assert.equal(opened.length, 2);
  assert.notEqual(first.connection, second.connection);
  first.connection?.release();
  second.connection?.release();
  assert.equal(submit().connection, second.connection);
  assert.equal(opened.length, 2);
});

void test('HTTP/1: idle connections are closed after their time, busy ones never', async () => {
  const { clock, lane, limits, opened, submit, connect } = setup({ streams: 1 });
  const [idle, busy] = [submit(), submit()];
  await connect();
  idle.connection?.release();
  const times = { idleMs: 3000, ageMs: 3_600_000 };
  clock.advance(2999);
  lane.sweep(times);
  assert.equal(idle.connection?.drained, false);
  clock.advance(1);
  lane.sweep(times);
  assert.equal(idle.connection?.drained, true);
  assert.deepEqual(limits, ['idle']);
  assert.equal(busy.connection?.drained, false);
  const next = submit();
  assert.equal(next.connection, undefined, 'the closed one is not given out');
  await connect();
  assert.equal(next.connection, opened[2]);
});

void test('a connection takes no request when its certificates expire soon, and is cut once they have', async () => {
  const ends: { at: number } = { at: 0 };
  const { clock, lane, limits, opened, submit, connect } = setup({
    streams: 4,
    expiry: () => ({ endingAt: ends.at + 9000, until: ends.at + 10_000 }),
  });
  ends.at = clock.wall();
  submit();
  await connect();
  const times = { idleMs: 3000, ageMs: 3_600_000 };
  clock.advance(8999);
  lane.sweep(times);
  assert.equal(opened[0]?.drained, false);
  clock.advance(1);
  lane.sweep(times);
  assert.equal(opened[0]?.drained, true);
  ends.at = clock.wall();
  const next = submit();
  await connect();
  assert.equal(next.connection, opened[1]);
  clock.advance(999);
  lane.sweep(times);
  assert.deepEqual([opened[0]?.destroyed, limits], [false, []]);
  clock.advance(1);
  lane.sweep(times);
  assert.deepEqual([opened[0]?.destroyed, opened[1]?.destroyed, limits], [true, false, ['expiry']]);
  lane.sweep(times);
  assert.deepEqual(limits, ['expiry'], 'once');
});

void test('an HTTP/2 connection is kept while idle, and replaced at its age', async () => {
  const { clock, lane, limits, opened, submit, connect } = setup({ streams: 4 });
  const request = submit();
  await connect();
  request.connection?.release();
  clock.advance(3_599_999);
  lane.sweep({ idleMs: 3000, ageMs: 3_600_000 });
  assert.equal(opened[0]?.drained, false);
  clock.advance(1);
  lane.sweep({ idleMs: 3000, ageMs: 3_600_000 });
  assert.equal(opened[0]?.drained, true);
  assert.deepEqual(limits, ['age']);
  const next = submit();
  await connect();
  assert.equal(next.connection, opened[1]);
});

void test('no more connections than allowed, and no more waiters; both are counted', async () => {
  const { opened, limits, submit, connect } = setup({ streams: 1, maxWaiters: 2 });
  const busy = [submit(), submit(), submit()];
  assert.equal(busy[2]?.fault?.kind, 'overloaded');
  assert.deepEqual(limits, ['waiters']);
  await connect();
  submit();
  await connect();
  assert.equal(opened.length, 3);
  const waits = submit();
  assert.deepEqual(limits, ['waiters', 'connections']);
  await connect();
  assert.equal(opened.length, 3);
  opened[0]?.release();
  assert.equal(waits.connection, opened[0]);
});

void test('HTTP/2: connections that are leaving, with streams that go on, take no place of one that serves', async () => {
  const { lane, clock, limits, opened, submit, connect } = setup({ streams: 4 });
  for (let hour = 1; hour <= 5; hour++) {
    const watch = submit();
    await connect();
    assert.equal(watch.connection, opened[hour - 1]);
    clock.advance(3_600_000);
    lane.sweep({ idleMs: 3000, ageMs: 3_600_000 });
  }
  assert.equal(limits.includes('connections'), false);
});

void test('HTTP/1: a tunnel keeps its place as long as it is open', async () => {
  const { opened, limits, submit, connect } = setup({ streams: 1 });
  const tunnels = [submit(), submit(), submit()];
  await connect();
  for (const { connection } of tunnels) connection?.drain();
  const next = submit();
  await connect();
  assert.deepEqual([next.connection, limits], [undefined, ['connections']]);
  tunnels[0]?.connection?.release();
  await connect();
  assert.equal(next.connection, opened[3]);
});

void test('a connection that ends before it had room for a request is a failed connect', async () => {
  const { opened, dials, verdicts, submit, connect } = setup({
    streams: 0,
    exclusive: false,
    maxConnections: 1,
  });
  const request = submit();
  await connect();
  assert.deepEqual([request.connection, verdicts], [undefined, []]);
  opened[0]?.destroy();
  assert.deepEqual([request.fault?.kind, verdicts], ['refused', ['refused']]);
  assert.equal(dials.length, 0, 'who waited decides where to go');
});

void test('a connection that has no room for a request for long is a failed connect, too', async () => {
  const { clock, lane, opened, verdicts, connect } = setup({ streams: 0, exclusive: false });
  lane.probe();
  await connect();
  clock.advance(999);
  assert.deepEqual(verdicts, []);
  clock.advance(1);
  assert.deepEqual(verdicts, ['refused']);
  opened[0]?.destroy();
  assert.deepEqual(verdicts, ['refused'], 'once');
});

void test('a connection that has room for a request later counts then', async () => {
  const { opened, verdicts, submit, connect } = setup({ streams: 0, exclusive: false, maxConnections: 1 });
  const request = submit();
  await connect();
  opened[0]?.allow(1);
  assert.deepEqual([request.connection, verdicts], [opened[0], ['ok']]);
  opened[0]?.destroy();
  assert.deepEqual(verdicts, ['ok']);
});

void test('a failed connect is told to the peer first, then to all who wait', async () => {
  const { lane, dials, verdicts, submit } = setup({ streams: 4 });
  const requests = [submit(), submit()];
  const left = submit();
  lane.withdraw(left);
  assert.equal(dials.length, 1);
  dials[0]?.reject(new ConnectError('no connection', { kind: 'timeout' }));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(verdicts, ['timeout']);
  for (const { fault } of requests) assert.deepEqual(fault, { kind: 'timeout', detail: 'no connection' });
  assert.equal(left.fault, undefined);
});

void test('a lane that is destroyed keeps no connection, not even one that was on its way', async () => {
  const { lane, opened, submit, connect } = setup({ streams: 4 });
  const request = submit();
  lane.destroy();
  assert.equal(request.fault?.kind, 'refused');
  await connect();
  assert.equal(opened[0]?.usable, false);
  assert.equal(lane.usable, false);
});
