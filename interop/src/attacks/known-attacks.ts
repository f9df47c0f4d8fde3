import { http1Attacks } from '@mesh/dataplane/testing/http1-attacks';
import { http2Attacks } from '@mesh/http2/testing/attacks';
import { meshAttacks } from '../testing/mesh-attacks.ts';
import { relayAttacks } from '../testing/relay-attacks.ts';
import { type TlsAttack, tlsAttacks } from '../testing/tls-attacks.ts';
import type { Place } from './arena.ts';

const at = (place: Place, attacks: readonly TlsAttack[]): (TlsAttack & { readonly place: Place })[] =>
  attacks.map((attack) => ({ ...attack, place }));

/** Every attack of the survey that has a definition of its own, in its order, and what it is run against. */
export const knownAttacks: readonly (TlsAttack & { readonly place: Place })[] = [
  ...at('sidecar', [...http2Attacks, ...http1Attacks, ...tlsAttacks, ...meshAttacks]),
  ...at('gateway', relayAttacks),
];

/** Of a core, beyond what the proxy uses anyway: where the attack is work that is for nothing. */
export const cpuBounds: Readonly<Record<string, number>> = { 'H2-10': 0.05, 'H2-21': 0.05 };
