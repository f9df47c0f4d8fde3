import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertUnharmed, attackMemoryBound, besideVictim } from './victim.ts';

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('a victim that is served beside an attack that holds little is unharmed', async () => {
  const report = await besideVictim(nextTurn, () => pause(250), { least: 5 });
  assert.ok(report.served >= 5);
  assertUnharmed(report);
});

test('one request that fails is harm', async () => {
  let made = 0;
  const request = async (): Promise<void> => {
    await nextTurn();
    made += 1;
    if (made === 3) throw new Error('no answer');
  };
  const report = await besideVictim(request, async () => {}, { least: 5 });
  assert.throws(() => assertUnharmed(report), /the victim noticed/);
});

test('what an attack makes the process hold for a while is seen, and what is garbage is not', async () => {
  const held: Buffer[] = [];
  const report = await besideVictim(nextTurn, async () => {
    held.push(Buffer.alloc(attackMemoryBound + 1024 * 1024, 'x'));
    await pause(1500);
    held.length = 0;
  });
  assert.ok(report.heldBytes > attackMemoryBound);
  assert.throws(() => assertUnharmed(report), /bytes were held/);

  const dropped = await besideVictim(nextTurn, async () => {
    for (let round = 0; round < 10; round++) {
      Buffer.alloc(attackMemoryBound, 'x');
      await nextTurn();
    }
  });
  assertUnharmed(dropped);
});
