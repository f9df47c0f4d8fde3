import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertGolden } from '@mesh/testkit/golden';
import { fabricCommands, fabricRules, uplinkCommands } from './fabric.ts';

const clusters = [
  { index: 0, gatewayCidr: '172.30.1.0/24' },
  { index: 1, gatewayCidr: '172.30.2.0/24' },
];

void test('the fabric routes gateway prefixes and nothing else', () => {
  const text = [
    fabricCommands(),
    ...clusters.map((cluster) => uplinkCommands(cluster, 4711)),
    fabricRules(clusters),
    fabricRules(clusters, new Set([1])),
  ];
  assertGolden(import.meta.url, 'fabric.txt', text.join('\n'));
});

void test('a cut cluster loses open connections too', () => {
  const lines = fabricRules(clusters, new Set([0])).split('\n');
  const drop = lines.indexOf('-A FORWARD -i node0 -j DROP');
  const established = lines.findIndex((line) => line.includes('ESTABLISHED'));
  assert.ok(drop !== -1 && drop < established);
});
