import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClientStream } from '@mesh/http/message';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { keepAlive, type PingableConnection } from './keep-alive.ts';

class Connection implements PingableConnection {
  usable = true;
  readonly capacity = 1;
  activeStreams = 0;
  onChange: () => void = () => {};
  pings = 0;
  destroyed = false;
  /** Whether the peer answers. */
  alive = true;

  ping(onPong: (rttMs: number) => void): void {
    this.pings++;
    if (this.alive) onPong(1);
  }
  request(): ClientStream {
    throw new Error('not used');
  }
  drain(): void {}
  destroy(): void {
    this.destroyed = true;
    this.usable = false;
    this.activeStreams = 0;
  }
}

const options = { intervalMs: 500, missesAllowed: 2, onlyBusy: true };

void test('a silent peer is cut after the allowed misses, one that answers is not', () => {
  const clock = new FakeClock();
  const connection = new Connection();
  keepAlive(connection, { clock, ...options });
  connection.activeStreams = 1;
  clock.advance(60_000);
  assert.equal(connection.destroyed, false);
  connection.alive = false;
  clock.advance(1500);
  assert.equal(connection.destroyed, false);
  clock.advance(500);
  assert.equal(connection.destroyed, true);
  assert.equal(clock.pending, 0);
});

void test('an idle connection is not pinged', () => {
  const clock = new FakeClock();
  const connection = new Connection();
  keepAlive(connection, { clock, ...options });
  clock.advance(60_000);
  assert.equal(connection.pings, 0);
});

void test('the timer ends with the connection', () => {
  const clock = new FakeClock();
  const connection = new Connection();
  keepAlive(connection, { clock, ...options });
  connection.usable = false;
  clock.advance(500);
  assert.equal(clock.pending, 0);
});
