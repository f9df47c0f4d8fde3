/** What a worker that asks late is told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  Gateway,
  GatewayTableSchema,
  WatchRequestSchema,
} from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import { grpcCode } from '@mesh/control-api/status';
import { type ControlStreams, type KeptStreamHandler, methodName } from '@mesh/dataplane/control-channel';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { type StreamFollower, StreamRelay } from './stream-relay.ts';

const refusal = { code: grpcCode.invalidArgument, message: 'no such gateway' };
/** Longer than streams of nobody are kept. */
const hourMs = 3_600_000;

/** A worker: what it was told, in words. */
class Follower implements StreamFollower {
  readonly told: string[] = [];

  onMessage(_bytes: Uint8Array, first: boolean): void {
    this.told.push(first ? 'first table' : 'table');
  }

  onInterrupted(agoMs: number): void {
    this.told.push(`${agoMs / 1000} s old`);
  }

  onRejected(): void {
    this.told.push('rejected');
  }
}

/** A relay, what it asked and ended at the control plane, and the last stream's other end. */
function start({ rejectAtOnce = false } = {}) {
  const clock = new FakeClock();
  const counts = { asked: 0, cancelled: 0 };
  let server: KeptStreamHandler<typeof GatewayTableSchema> | undefined;
  const streams: ControlStreams = {
    keep(_method, _input, handler) {
      counts.asked++;
      server = handler as unknown as KeptStreamHandler<typeof GatewayTableSchema>;
      if (rejectAtOnce) handler.onRejected(refusal);
      return { cancel: () => counts.cancelled++ };
    },
  };
  const relay = new StreamRelay({ clock, streams });
  const follow = () => {
    const follower = new Follower();
    const running = relay.follow(
      methodName(Gateway.method.watch),
      toBinary(WatchRequestSchema, create(WatchRequestSchema, {})),
      follower,
    );
    return { told: follower.told, running };
  };
  return { clock, counts, relay, follow, server: () => server };
}

void test('it is told what is known, and how old that is, also when it is from before a restart', () => {
  const { clock, relay, follow, server } = start();
  const first = follow().told;
  server()?.onMessage(create(GatewayTableSchema, {}), true);
  server()?.onInterrupted?.(60_000);
  clock.advance(5000);
  server()?.onInterrupted?.();
  assert.deepEqual(first, ['first table', '60 s old', '65 s old']);
  assert.deepEqual(follow().told, ['first table', '65 s old']);
  server()?.onMessage(create(GatewayTableSchema, {}), true);
  assert.deepEqual(follow().told, ['first table'], 'it is watched again');
  relay.close();
});

void test('a rejection is told to those who wait; who asks later has the control plane asked again', () => {
  const { clock, counts, relay, follow, server } = start();
  const early = [follow(), follow()];
  server()?.onRejected(refusal);
  assert.deepEqual(
    early.map(({ told }) => told),
    [['rejected'], ['rejected']],
  );
  assert.equal(relay.size, 0);
  assert.deepEqual(counts, { asked: 1, cancelled: 1 }, 'whoever remembers streams forgets this one');

  const late = follow();
  assert.equal(counts.asked, 2);
  server()?.onMessage(create(GatewayTableSchema, {}), true);
  for (const { running } of early) running?.cancel();
  clock.advance(hourMs);
  assert.deepEqual(late.told, ['first table']);
  assert.deepEqual([relay.size, counts.cancelled], [1, 1], 'the new stream is not theirs to end');
  relay.close();
});

void test('one that is rejected while nobody follows it does not end the one that comes after it', () => {
  const { clock, counts, relay, follow, server } = start();
  follow().running?.cancel();
  server()?.onRejected(refusal);
  const late = follow();
  clock.advance(hourMs);
  assert.deepEqual([relay.size, counts.asked, late.told], [1, 2, []]);
  relay.close();
});

void test('a rejection at once is told like one that comes later, and leaves nothing to cancel', () => {
  const { counts, relay, follow } = start({ rejectAtOnce: true });
  for (const nth of [1, 2]) {
    assert.deepEqual(follow(), { told: ['rejected'], running: undefined });
    assert.deepEqual([relay.size, counts], [0, { asked: nth, cancelled: nth }]);
  }
});
