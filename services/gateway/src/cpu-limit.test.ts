import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuLimit } from './cpu-limit.ts';

const quotas: readonly [what: string, files: Record<string, string>, parallelism: number, loops: number][] = [
  ['no quota', {}, 4, 4],
  ['no quota, version 2', { 'cpu.max': 'max 100000\n' }, 4, 4],
  ['two processors', { 'cpu.max': '200000 100000\n' }, 16, 2],
  ['a part of one', { 'cpu.max': '50000 100000\n' }, 16, 1],
  ['one and a half: a second loop would be throttled', { 'cpu.max': '150000 100000\n' }, 16, 1],
  ['more than there are', { 'cpu.max': '800000 100000\n' }, 2, 2],
  ['version 1', { 'cpu/cpu.cfs_quota_us': '300000\n', 'cpu/cpu.cfs_period_us': '100000\n' }, 16, 3],
  ['version 1 without one', { 'cpu/cpu.cfs_quota_us': '-1\n', 'cpu/cpu.cfs_period_us': '100000\n' }, 3, 3],
  ['a large machine', {}, 128, 8],
];

test('a gateway has as many loops as the container has processors', () => {
  for (const [what, files, parallelism, loops] of quotas) {
    assert.equal(
      cpuLimit((path) => files[path.replace('/sys/fs/cgroup/', '')], parallelism),
      loops,
      what,
    );
  }
});
