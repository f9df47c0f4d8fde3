import assert from 'node:assert/strict';
import { test } from 'node:test';
import { identityName } from '@mesh/trust/names';
import type { InboundPolicy } from './config.ts';
import { inboundRefusal } from './inbound-policy.ts';

const own = identityName({ serviceAccount: 'frontend', namespace: 'shop', cluster: 'east' });
const foreign = identityName({ serviceAccount: 'frontend', namespace: 'shop', cluster: 'west' });

void test('each policy admits exactly whom it names', () => {
  const verdicts = (policy: InboundPolicy): (string | undefined)[] =>
    [undefined, own, foreign, 'no-identity.example'].map((identity) =>
      inboundRefusal({ policy, cluster: 'east', suffix: 'mesh.local' }, identity),
    );
  assert.deepEqual(verdicts('all-unauthenticated'), [undefined, undefined, undefined, undefined]);
  assert.deepEqual(verdicts('all-authenticated'), ['unauthenticated', undefined, undefined, undefined]);
  assert.deepEqual(verdicts('cluster-authenticated'), [
    'unauthenticated',
    undefined,
    'foreign-cluster',
    'foreign-cluster',
  ]);
  assert.deepEqual(verdicts('deny'), ['denied', 'denied', 'denied', 'denied']);
});
