/** No proxy at all: what client, application and network cost by themselves. */
import type { Contestant } from './contestant.ts';

export const direct: Contestant = {
  name: 'direct',
  title: 'no proxy',
  intercepted: false,
  declines: () => undefined,
  probe: () => ({ version: '' }),
  start: () => [],
};
