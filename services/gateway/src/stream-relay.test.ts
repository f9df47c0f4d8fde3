/** What a worker that asks late is told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  Gateway,
  GatewayTableSchema,
  WatchRequestSchema,
} from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import { type ControlStreams, type KeptStreamHandler, methodName } from '@mesh/dataplane/control-channel';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { type StreamFollower, StreamRelay } from './stream-relay.ts';

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

void test('it is told what is known, and how old that is, also when it is from before a restart', () => {
  const clock = new FakeClock();
  let server: KeptStreamHandler<typeof GatewayTableSchema> | undefined;
  const streams: ControlStreams = {
    keep(_method, _input, handler) {
      server = handler as unknown as KeptStreamHandler<typeof GatewayTableSchema>;
      return { cancel: () => {} };
    },
  };
  const relay = new StreamRelay({ clock, streams });
  const follow = (): string[] => {
    const follower = new Follower();
    relay.follow(
      methodName(Gateway.method.watch),
      toBinary(WatchRequestSchema, create(WatchRequestSchema, {})),
      follower,
    );
    return follower.told;
  };
  const first = follow();
  server?.onMessage(create(GatewayTableSchema, {}), true);
  server?.onInterrupted?.(60_000);
  clock.advance(5000);
  server?.onInterrupted?.();
  assert.deepEqual(first, ['first table', '60 s old', '65 s old']);
  assert.deepEqual(follow(), ['first table', '65 s old']);
  server?.onMessage(create(GatewayTableSchema, {}), true);
  assert.deepEqual(follow(), ['first table'], 'it is watched again');
  relay.close();
});
