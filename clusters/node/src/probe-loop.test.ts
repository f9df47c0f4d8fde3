import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { ProbeLoop, type Probe, type ProbeKind } from './probe-loop.ts';

function run(kind: ProbeKind, probe: Probe) {
  const clock = new FakeClock();
  const verdicts: [at: number, passed: boolean][] = [];
  const asked: number[] = [];
  const state = { answer: undefined as string | undefined };
  const loop = new ProbeLoop({
    kind,
    probe,
    clock,
    check: () => {
      asked.push(clock.now());
      return Promise.resolve(state.answer);
    },
    onVerdict: (passed) => verdicts.push([clock.now(), passed]),
  });
  return { clock, verdicts, asked, state, loop };
}

void test('readiness follows the thresholds both ways', async () => {
  const { clock, verdicts, state, loop } = run('readiness', {
    periodSeconds: 1,
    failureThreshold: 2,
    successThreshold: 1,
  });
  await clock.advanceAsync(100, 100);
  // The clock moves 100 ms at a time before the answer is seen.
  assert.deepEqual(verdicts, [[100, true]]);
  state.answer = 'refused';
  await clock.advanceAsync(1500, 100);
  assert.equal(verdicts.length, 1, 'one failure is not enough');
  await clock.advanceAsync(1000, 100);
  assert.deepEqual(verdicts.at(-1), [2100, false]);
  state.answer = undefined;
  await clock.advanceAsync(1000, 100);
  assert.deepEqual(verdicts.at(-1), [3100, true]);
  loop.stop();
  assert.equal(clock.pending, 0);
});

void test('a container that was never ready is asked often, so that a long period costs nothing', async () => {
  const { clock, verdicts, state, loop } = run('readiness', { periodSeconds: 10 });
  state.answer = 'starting';
  await clock.advanceAsync(1000, 100);
  state.answer = undefined;
  await clock.advanceAsync(300, 100);
  assert.deepEqual(verdicts, [[1100, true]]);
  loop.stop();
});

void test('liveness fails once, after failureThreshold periods', async () => {
  const { clock, verdicts, asked, state } = run('liveness', { periodSeconds: 2, initialDelaySeconds: 3 });
  state.answer = 'hung';
  await clock.advanceAsync(20_000, 500);
  assert.deepEqual(asked, [3000, 5000, 7000]);
  assert.deepEqual(verdicts, [[7000, false]]);
  assert.equal(clock.pending, 0);
});

void test('eager startup asks do not use the threshold up', async () => {
  const { clock, verdicts, state } = run('startup', { periodSeconds: 5, failureThreshold: 3 });
  state.answer = 'starting';
  await clock.advanceAsync(9000, 100);
  assert.deepEqual(verdicts, []);
  state.answer = undefined;
  await clock.advanceAsync(1000, 100);
  assert.equal(verdicts[0]?.[1], true);
  assert.equal(clock.pending, 0, 'a startup probe ends when it passed');
});

void test('startup gives up after its threshold', async () => {
  const { clock, verdicts, state } = run('startup', { periodSeconds: 1, failureThreshold: 3 });
  state.answer = 'starting';
  await clock.advanceAsync(3000, 100);
  assert.deepEqual(verdicts, [[2100, false]]);
});
