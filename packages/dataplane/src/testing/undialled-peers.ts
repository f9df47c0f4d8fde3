import type { Clock } from '@mesh/clock/clock';
import { seededRandom } from '@mesh/clock/seeded';
import type { LimitLedger } from '@mesh/limits/limits';
import type { DataplaneLimit } from '../limits.ts';
import { defaultCodecs } from '../peer.ts';
import { PeerPool } from '../peer-pool.ts';

/** Peers for tests in which no connection is made. */
export function undialledPeers(clock: Clock, limits: LimitLedger<DataplaneLimit>): PeerPool {
  return new PeerPool({
    clock,
    random: seededRandom(1),
    connector: { connect: () => Promise.reject(new Error('nothing is dialled here')) },
    limits,
    ...defaultCodecs(),
  });
}
