import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atTurnEnd } from './turn.ts';
import { TurnShare } from './turn-share.ts';

test('so many tasks at the end of a turn, then a pause, in order, whatever is asked for at once', async () => {
  const share = new TurnShare(2, 1);
  const log: string[] = [];
  const taken = [1, 2, 3, 4, 5].map((number) => share.take(() => log.push(String(number))));
  assert.deepEqual(taken, [true, true, false, false, false]);
  await new Promise<void>((resolve) => {
    let turns = 0;
    const look = (): void => {
      log.push('|');
      if (++turns === 8) resolve();
      else atTurnEnd({ onTurnEnd: look });
    };
    atTurnEnd({ onTurnEnd: look });
  });
  assert.equal(log.join('').replace(/\|+$/, ''), '|12||34||5', 'behind what else ends its turn');
  assert.ok(
    share.take(() => log.push('6')),
    'what comes later finds its turn',
  );
});

test('a task that asks for another one does not get it in the same turn', async () => {
  const share = new TurnShare(1, 0);
  let runs = 0;
  await new Promise<void>((resolve) => {
    const again = (): void => {
      runs++;
      if (runs === 3) resolve();
      else assert.equal(share.take(again), false);
    };
    assert.ok(share.take(again));
    assert.equal(runs, 0, 'sockets that are ready go first');
  });
});

test('where turns are long as many begin as the time allows, and none for the time before they came', async () => {
  let now = 1e6;
  const share = new TurnShare(1, 2, { everyMs: 10, now: () => now });
  const turnMs = 20;
  const log: string[] = [];
  const turns = (count: number): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        now += turnMs;
        log.push('|');
        if (--count === 0) resolve();
        else atTurnEnd({ onTurnEnd: look });
      };
      atTurnEnd({ onTurnEnd: look });
    });
  for (let number = 0; number < 15; number++) share.take(() => log.push('.'));
  await turns(8);
  assert.equal(log.join(''), '|..|||......|||......|', 'two in 20 ms, then six in 60');
  await turns(4);
  now += 60_000;
  log.length = 0;
  for (let number = 0; number < 4; number++) share.take(() => log.push('.'));
  await turns(4);
  assert.equal(log.join(''), '|..|||..');
});
