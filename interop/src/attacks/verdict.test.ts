import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCode } from '@mesh/http2/error-codes';
import { frame, GOAWAY, RST_STREAM, settings, u32 } from '@mesh/http2/testing/raw-peer';
import { describeEnd } from './describe-end.ts';
import { allowedMs, faults, isClose, type Row, type Window } from './verdict.ts';

const window = (p99: number, changes: Partial<Window> = {}): Window => ({
  served: 800,
  failed: 0,
  latencyMs: { p50: p99 / 2, p99, p999: p99 * 2 },
  cpuShare: 0.1,
  ...changes,
});

const row = (changes: Partial<Row> = {}): Row => ({
  id: 'H2-1',
  what: '',
  baseline: [window(0.8), window(9), window(0.7)],
  attacked: [window(1.8), window(0.9), window(90)],
  attacks: [{ rounds: 1, connections: 1, ends: {}, failures: [] }],
  counted: {},
  memory: { before: 30e6, peak: 50e6, after: 40e6 },
  memoryBound: 32e6,
  descriptors: { before: 30, after: 40 },
  date: '2026-11-25T12:00:00.000Z',
  commit: 'abc',
  ...changes,
});

test('a p99 may be twice the baseline, or a millisecond above a small one, by medians', () => {
  assert.deepEqual(faults(row()), []);
  assert.equal(allowedMs(row()), 1.8);
  assert.equal(allowedMs({ baseline: [window(5)] }), 10);
  assert.deepEqual(faults(row({ attacked: [window(1.81)] })), ['p99 1.81 ms, allowed 1.80 ms']);
});

test('what is near its limit or beyond it is measured longer', () => {
  assert.equal(isClose(row({ attacked: [window(1.2)] })), false);
  assert.equal(isClose(row({ attacked: [window(1.3)] })), true);
  assert.equal(isClose(row({ attacked: [window(9)] })), true);
});

test('an attack in numbers is held to the same', () => {
  const inNumbers = (changes: Partial<Window>, p99 = 1.8): string[] =>
    faults(row({ inNumbers: { what: 'many', window: window(p99, changes) } }));
  assert.deepEqual(inNumbers({}), []);
  assert.deepEqual(inNumbers({ failed: 1 }), ['1 requests of the victim failed']);
  assert.deepEqual(inNumbers({}, 1.9), ['p99 1.90 ms in numbers, allowed 1.80 ms']);
});

test('work for nothing and descriptors that stay fail a row', () => {
  const attacked = [window(1, { cpuShare: 0.16 })];
  assert.deepEqual(faults(row({ attacked })), []);
  assert.deepEqual(faults(row({ attacked, cpuBound: 0.05 })), ['6 % of a core more, allowed 5 %']);
  assert.deepEqual(faults(row({ descriptors: { before: 30, after: 95 } })), ['65 descriptors are left open']);
});

test('whatever else is wrong fails a row, each with its reason', () => {
  const bad = row({
    attacked: [window(1, { failed: 2 }), window(1, { failed: 1 })],
    attacks: [{ rounds: 1, connections: 1, ends: {}, failures: ['not ended'] }],
    memory: { before: 30e6, peak: 63e6, after: 30e6 },
  });
  assert.deepEqual(faults(bad), [
    'not ended',
    '3 requests of the victim failed',
    '33.0 MB more, allowed 32.0 MB',
  ]);
  const unserved = row({ attacked: [window(Number.NaN, { served: 0 })] });
  assert.deepEqual(faults(unserved), ['the victim was not served', 'p99 NaN ms, allowed 1.80 ms']);
});

test('the end of a connection is told by what the attacker received', () => {
  const calm = frame(GOAWAY, 0, 0, u32(0, errorCode.enhanceYourCalm));
  const reset = frame(RST_STREAM, 0, 1, u32(errorCode.protocolError));
  assert.equal(describeEnd(Buffer.concat([settings(), calm]), 'proxy'), 'GOAWAY ENHANCE_YOUR_CALM');
  assert.equal(
    describeEnd(Buffer.concat([reset, reset]), 'attacker'),
    'RST_STREAM PROTOCOL_ERROR, left open',
  );
  assert.equal(
    describeEnd(Buffer.from('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 431 x\r\n\r\n'), 'proxy'),
    '431, closed',
  );
  assert.equal(describeEnd(Buffer.alloc(0), 'proxy'), 'closed');
});
