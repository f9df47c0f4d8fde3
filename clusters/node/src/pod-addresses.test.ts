import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PodAddresses } from './pod-addresses.ts';

const cidr = { base: 0x0a010000, prefix: 29 };

void test('a pod keeps its address, and another pod gets another one', () => {
  const addresses = new PodAddresses(cidr);
  assert.equal(addresses.allocate('one'), '10.1.0.2');
  assert.equal(addresses.allocate('two'), '10.1.0.3');
  assert.equal(addresses.allocate('one'), '10.1.0.2');
});

void test('a released address comes back last', () => {
  const addresses = new PodAddresses(cidr);
  const first = addresses.allocate('one');
  addresses.release(first ?? '');
  const next = ['a', 'b', 'c', 'd'].map((uid) => addresses.allocate(uid));
  assert.deepEqual(next, ['10.1.0.3', '10.1.0.4', '10.1.0.5', '10.1.0.6']);
  assert.equal(addresses.allocate('e'), '10.1.0.2');
  assert.equal(addresses.allocate('f'), undefined, 'the prefix is full, its last address is not given out');
});
