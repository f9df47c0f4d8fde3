import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LimitLedger } from '@mesh/limits/limits';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { expireEvents } from './event-expiry.ts';
import { apiserverLimits } from './limits.ts';
import { timestamp } from './object.ts';
import { Store } from './store.ts';

test('events go an hour after they were last seen', () => {
  const clock = new FakeClock();
  const store = new Store({ limits: new LimitLedger(apiserverLimits) });
  const timer = expireEvents(store, clock);
  const add = (name: string, lastTimestamp: string): void => {
    store.create('/events', {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: {
        name,
        namespace: 'default',
        uid: name,
        resourceVersion: '',
        creationTimestamp: timestamp(clock.wall()),
      },
      lastTimestamp,
    });
  };
  add('old', timestamp(clock.wall()));
  add('seen-again', timestamp(clock.wall() + 1_800_000));
  clock.advance(3_900_000);
  assert.deepEqual(
    store.list('/events').map((event) => event.metadata.name),
    ['seen-again'],
  );
  timer.cancel();
});
