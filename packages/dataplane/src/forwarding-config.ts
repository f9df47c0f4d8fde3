/** Settings of every program that forwards: sidecar and gateway. */
import { join } from 'node:path';
import { type Config, duration, integer, text } from '@mesh/config/environment';
import { LimitLedger } from '@mesh/limits/limits';
import { connectionsThatFit } from '@mesh/sockets/connection-cap';
import type { LastGoodOptions } from './last-good-streams.ts';
import { type DataplaneLimit, dataplaneLimits } from './limits.ts';

export const forwardingConfig = {
  MESH_MAX_CONNECTIONS: integer({
    doc: 'Connections that one listener, or one worker of a gateway, may have open at once; more are closed at once. Less where the process may not open so many files.',
    default: dataplaneLimits.accepted_connections.default,
    min: 1,
    max: 1_000_000,
  }),
  MESH_MAX_IN_FLIGHT: integer({
    doc: 'Requests and opaque connections to one destination, or to one port of the application, that may be under way at once; more are shed.',
    default: dataplaneLimits.in_flight_requests.default,
    min: 1,
    max: 1_000_000,
  }),
  MESH_LAST_GOOD_DIR: text({
    doc: 'Directory that outlives restarts of the container, for what the control plane said last; empty: nothing is kept.',
    default: '',
    pattern: /^(\/.*)?$/,
  }),
  MESH_LAST_GOOD_MAX_AGE: duration({
    doc: 'What the control plane said longer ago is not gone by after a restart.',
    default: '24h',
    min: '1m',
    max: '720h',
  }),
};

/** The limits of a program with these settings, that forwards from so many listeners. */
export function forwardingLimits(
  config: Config<typeof forwardingConfig>,
  listeners: number,
): LimitLedger<DataplaneLimit> {
  return new LimitLedger(dataplaneLimits, {
    accepted_connections: connectionsThatFit(config.MESH_MAX_CONNECTIONS, listeners),
    in_flight_requests: config.MESH_MAX_IN_FLIGHT,
    http1_connections_per_endpoint: connectionsThatFit(
      Math.max(config.MESH_MAX_IN_FLIGHT, dataplaneLimits.http1_connections_per_endpoint.default),
      listeners,
    ),
  });
}

/** Where a program with these settings keeps what the control plane said last, and for whom: the pod, by its identity and name. */
export function lastGoodFile(
  config: Config<typeof forwardingConfig>,
  { identity, pod }: { identity: string; pod: string },
): Pick<LastGoodOptions, 'path' | 'owner' | 'maxAgeMs'> {
  return {
    path: config.MESH_LAST_GOOD_DIR === '' ? undefined : join(config.MESH_LAST_GOOD_DIR, 'last-good'),
    owner: `${identity} ${pod}`,
    maxAgeMs: config.MESH_LAST_GOOD_MAX_AGE,
  };
}
