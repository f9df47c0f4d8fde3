/** No proxy at all: what client, application and network cost by themselves. */
import { type Contestant, noGateway } from './contestant.ts';

export const direct: Contestant = {
  name: 'direct',
  title: 'no proxy',
  intercepted: false,
  declines: ({ gateway }) => (gateway ? noGateway : undefined),
  probe: () => ({ version: '' }),
  start: () => [],
};
