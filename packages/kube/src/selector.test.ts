import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LabelSelector, matchesLabels, matchesSelector, selectorText } from './selector.ts';

const labels = { app: 'cart', tier: 'back' };

test('labels must all be equal, and nothing asked is always true', () => {
  assert.ok(matchesLabels({}, undefined));
  assert.ok(matchesLabels({ app: 'cart' }, labels));
  assert.ok(!matchesLabels({ app: 'cart', zone: 'a' }, labels));
  assert.ok(!matchesLabels({ app: 'cart' }, undefined));
});

test('expressions follow the four operators, with absent keys counted as not in', () => {
  const holds = (key: string, operator: string, values?: string[]): boolean =>
    matchesSelector(
      { matchExpressions: [{ key, operator, ...(values !== undefined && { values }) }] },
      labels,
    );
  assert.ok(holds('app', 'In', ['cart', 'x']));
  assert.ok(!holds('zone', 'In', ['a']));
  assert.ok(!holds('app', 'NotIn', ['cart']));
  assert.ok(holds('zone', 'NotIn', ['a']));
  assert.ok(holds('app', 'Exists'));
  assert.ok(holds('zone', 'DoesNotExist'));
  assert.ok(!holds('app', 'Unknown'));
  assert.ok(!matchesSelector(undefined, labels));
  assert.ok(matchesSelector({}, labels));
});

test('the text form is what list and watch take', () => {
  const selector: LabelSelector = {
    matchLabels: { app: 'cart' },
    matchExpressions: [
      { key: 'tier', operator: 'In', values: ['a', 'b'] },
      { key: 'zone', operator: 'NotIn', values: ['c'] },
      { key: 'canary', operator: 'Exists' },
      { key: 'old', operator: 'DoesNotExist' },
    ],
  };
  assert.equal(selectorText(selector), 'app=cart,tier in (a,b),zone notin (c),canary,!old');
});
