import { generateKeyPairSync } from 'node:crypto';
import type { Clock } from '@mesh/clock/clock';
import type { Credentials } from '@mesh/trust/credentials';
import { toPem } from '@mesh/trust/pem';
import { type Authority, signLeaf } from './authority.ts';

/** Credentials for `identity` from an issuer in this process: for the identity service itself, and for tests. */
export function issueCredentials(options: {
  issuer: Authority & { readonly chainPem?: string };
  anchorsPem: string;
  identity: string;
  clock: Clock;
  lifetimeMs?: number;
}): Credentials {
  const { issuer, anchorsPem, identity, clock, lifetimeMs } = options;
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const leaf = signLeaf({
    issuer,
    spki: publicKey.export({ type: 'spki', format: 'der' }),
    identity,
    clock,
    ...(lifetimeMs === undefined ? {} : { lifetimeMs }),
  });
  return {
    key: privateKey,
    chainPem: toPem(leaf.der) + (issuer.chainPem ?? issuer.certificatePem),
    anchorsPem,
    identity,
    notAfter: leaf.notAfter,
  };
}
