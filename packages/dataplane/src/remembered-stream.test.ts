import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { tcpAddress } from '@mesh/control-api/convert';
import { Destination, UpdateSchema } from '@mesh/control-api/gen/linkerd/destination_pb';
import { LimitLedger } from '@mesh/limits/limits';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { dataplaneLimits } from './limits.ts';
import { RememberedStream, type StreamMemory } from './remembered-stream.ts';

const memory: StreamMemory = {
  clock: new FakeClock(),
  limits: new LimitLedger(dataplaneLimits),
  silent: false,
  earlier: () => undefined,
  spoke() {},
  failed() {},
  unanswered() {},
  unreadable() {},
};

void test('what a stream said is encoded once, until it says something else', () => {
  const stream = new RememberedStream(Destination.method.get, {
    memory,
    key: 'cart',
    handler: { onMessage() {}, onRejected() {} },
    credentials: { whenPresent: () => () => {} },
    meanwhile: false,
  });
  const add = (last: number) => {
    const addr = tcpAddress(`10.0.0.${last}`, 80) ?? assert.fail();
    return create(UpdateSchema, { update: { case: 'add', value: { addrs: [{ addr }] } } });
  };
  stream.onMessage(add(1), true);
  const first = stream.lastGood()?.messages;
  assert.equal(first?.length, 1);
  assert.equal(stream.lastGood()?.messages, first);
  stream.onMessage(add(2), false);
  assert.notDeepEqual(stream.lastGood()?.messages, first);
});
