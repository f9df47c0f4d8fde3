import type { Clock, Timer } from '@mesh/clock/clock';
import { textAt } from './json.ts';
import type { Store } from './store.ts';

/** Events are news, not state: they go an hour after they were last seen, as on a real server. */
const lifetimeMs = 3_600_000;
const sweepEveryMs = 300_000;

export function expireEvents(store: Store, clock: Clock): Timer {
  return clock.every(
    sweepEveryMs,
    () => {
      for (const event of store.list('/events')) {
        const seen = textAt(event, 'lastTimestamp') ?? event.metadata.creationTimestamp;
        if (Date.parse(seen) + lifetimeMs < clock.wall()) store.remove('/events', event);
      }
    },
    true,
  );
}
