import type { Clock, Timer } from './clock.ts';

/** How late it is noticed at most that the wall clock moved by itself. */
const lookMs = 60_000;

/**
 * Calls `task` once, when `delayMs` have passed by the one clock or by the other. For what has to be done before a date: timers stand
 * still while a machine sleeps, and know nothing of a wall clock that is set. In the background.
 */
export function beforeDate(clock: Clock, delayMs: number, task: () => void): Timer {
  const at = clock.wall() + delayMs;
  let leftMs = delayMs;
  const wait = (): Timer => {
    const waitMs = Math.min(leftMs, lookMs);
    return clock.after(
      waitMs,
      () => {
        leftMs -= waitMs;
        if (leftMs <= 0 || clock.wall() >= at) task();
        else timer = wait();
      },
      true,
    );
  };
  let timer = wait();
  return { cancel: () => timer.cancel() };
}
