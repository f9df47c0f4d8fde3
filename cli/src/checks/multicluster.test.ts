import assert from 'node:assert/strict';
import { test } from 'node:test';
import { annotationTrouble } from './multicluster.ts';

test('a federated service whose annotations mean nothing is named, with the value and what is allowed', () => {
  const service = (name: string, annotations: Record<string, string>) => ({
    metadata: { namespace: 'shop', name, annotations },
  });
  const trouble = annotationTrouble([
    service('cart', { 'mirror.mesh.io/mode': 'balanced', 'mirror.mesh.io/spill-below': '50%' }),
    service('ledger', { 'mirror.mesh.io/spill-below': 'half' }),
  ]);
  assert.equal(trouble.length, 1);
  assert.match(
    trouble[0] ?? '',
    /^shop\/ledger: annotation mirror\.mesh\.io\/spill-below=half .* from 1% to 100%/,
  );
});
