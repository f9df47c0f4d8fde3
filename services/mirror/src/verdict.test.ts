import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Verdict } from './verdict.ts';

const verdict = (): Verdict => new Verdict({ staleMs: 3000, failureThreshold: 3 });

test('unknown until something was heard', () => {
  assert.equal(verdict().state(0), 'unknown');
  assert.equal(verdict().lastSeen, undefined);
});

test('alive while events come', () => {
  const peer = verdict();
  peer.event(1000);
  assert.equal(peer.state(4000), 'alive');
  assert.equal(peer.state(4001), 'unknown');
});

test('dead only when the stream is stale and probes failed as often as allowed', () => {
  const peer = verdict();
  peer.event(0);
  for (let failure = 0; failure < 3; failure++) peer.failed();
  assert.equal(peer.state(2000), 'alive');
  assert.equal(peer.state(5000), 'dead');
});

test('a gateway that answers without a stream makes the peer unknown, not dead', () => {
  const peer = verdict();
  peer.event(0);
  peer.failed();
  peer.failed();
  peer.answered(4000);
  peer.failed();
  assert.equal(peer.state(5000), 'unknown');
  assert.equal(peer.lastSeen, 4000);
});

test('one event brings a dead peer back', () => {
  const peer = verdict();
  for (let failure = 0; failure < 5; failure++) peer.failed();
  assert.equal(peer.state(0), 'dead');
  peer.event(1);
  assert.equal(peer.state(2), 'alive');
});
