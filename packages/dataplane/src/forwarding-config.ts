/** Settings of every program that forwards: sidecar and gateway. */
import { type Config, integer } from '@mesh/config/environment';
import { LimitLedger } from '@mesh/limits/limits';
import { connectionsThatFit } from '@mesh/sockets/connection-cap';
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
};

/** The limits of a program with these settings, that forwards from so many listeners. */
export function forwardingLimits(
  config: Config<typeof forwardingConfig>,
  listeners: number,
): LimitLedger<DataplaneLimit> {
  return new LimitLedger(dataplaneLimits, {
    accepted_connections: connectionsThatFit(config.MESH_MAX_CONNECTIONS, listeners),
    in_flight_requests: config.MESH_MAX_IN_FLIGHT,
  });
}
