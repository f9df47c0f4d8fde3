import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LimitLedger } from '@mesh/limits/limits';
import { createLogger } from '@mesh/telemetry/log';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { dataplaneLimits } from './limits.ts';
import { PeerLog } from './peer-log.ts';

test('of a flood of lines a few are written, and the next one says how many were not', () => {
  const clock = new FakeClock();
  const lines: string[] = [];
  const limits = new LimitLedger(dataplaneLimits, { peer_log_lines: 20 });
  const log = new PeerLog({
    log: createLogger({ clock, level: 'info', write: (line) => lines.push(line) }),
    clock,
    limits,
  });
  for (let refusal = 0; refusal < 1000; refusal++) log.warn('client refused', { reason: 'closed-early' });
  assert.equal(lines.length, 20);
  assert.ok(lines.every((line) => !line.includes('leftOut')));
  assert.equal(limits.hits('peer_log_lines'), 980);
  clock.advance(1000);
  log.info('connection refused', { reason: 'not-tls' });
  log.info('connection refused', { reason: 'not-tls' });
  log.info('connection refused', { reason: 'not-tls' });
  assert.equal(lines.length, 22, 'two more each second');
  assert.match(lines[20] ?? '', /"reason":"not-tls","leftOut":980/);
  assert.doesNotMatch(lines[21] ?? '', /leftOut/);
});
