import assert from 'node:assert/strict';
import { test } from 'node:test';
import { portListed } from './port-list.ts';

test('lists of ports', () => {
  assert.ok(portListed('25, 80-90 ,web', 85));
  assert.ok(portListed('web', 1, 'web'));
  for (const [list, port] of [
    ['', 80],
    ['80x', 80],
    ['web', 80],
    ['90-80', 85],
    ['-80', 80],
  ] as const) {
    assert.equal(portListed(list, port), false, list);
  }
  assert.equal(portListed(' , ', 80, ''), false);
});
