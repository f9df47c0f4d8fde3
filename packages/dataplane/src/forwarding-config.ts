/** Settings of every program that forwards: sidecar and gateway. */
import { integer } from '@mesh/config/environment';
import { dataplaneLimits } from './limits.ts';

export const forwardingConfig = {
  MESH_MAX_IN_FLIGHT: integer({
    doc: 'Requests and opaque connections to one destination, or to one port of the application, that may be under way at once; more are shed.',
    default: dataplaneLimits.in_flight_requests.default,
    min: 1,
    max: 1_000_000,
  }),
};
