/** Fields that are never in any table, here or at a later hop, whether their sender says so or not (RFC 7541 §7.1.3). */
export const sensitive: ReadonlySet<string> = new Set([
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
]);
