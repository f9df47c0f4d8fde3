import { http1Attacks } from '@mesh/dataplane/testing/http1-attacks';
import { http2Attacks } from '@mesh/http2/testing/attacks';
import { meshAttacks } from '../testing/mesh-attacks.ts';
import { type TlsAttack, tlsAttacks } from '../testing/tls-attacks.ts';

/** Every attack of the survey that has a definition of its own, in its order. */
export const knownAttacks: readonly TlsAttack[] = [
  ...http2Attacks,
  ...http1Attacks,
  ...tlsAttacks,
  ...meshAttacks,
];
