import assert from 'node:assert/strict';
import { test } from 'node:test';
import { portListed, portNumbers } from './port-list.ts';

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

test('a list without names', () => {
  const numbers = (list: string): string => portNumbers(list, (name) => (name === 'db' ? 5432 : undefined));
  assert.equal(numbers('25, 80-90 ,db,web'), '25,80-90,5432');
  assert.equal(numbers(''), '');
  assert.equal(numbers('0,90-80,65536,1-70000,-1,80x'), '');
});
