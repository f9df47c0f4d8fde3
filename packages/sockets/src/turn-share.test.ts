import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atTurnEnd } from './turn.ts';
import { type SharedTask, TurnShare } from './turn-share.ts';

const task = (onTurn: () => void, onPutOff: () => void = () => {}): SharedTask => ({ onTurn, onPutOff });

/** Tasks that write down their numbers when they run, and `putOff` when they have to wait. */
function logged() {
  const log: string[] = [];
  const putOff: number[] = [];
  const numbered = (number: number): SharedTask =>
    task(
      () => log.push(String(number)),
      () => putOff.push(number),
    );
  return { log, putOff, numbered };
}

/** So many turns of the event loop, each with `|` in the log. */
function turns(log: string[], count: number, onTurn: () => void = () => {}): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      onTurn();
      log.push('|');
      if (--count === 0) resolve();
      else atTurnEnd({ onTurnEnd: look });
    };
    atTurnEnd({ onTurnEnd: look });
  });
}

test('so many tasks at the end of a turn, then a pause, in order, whatever is asked for at once', async () => {
  const share = new TurnShare(2, 1);
  const { log, putOff, numbered } = logged();
  for (const number of [1, 2, 3, 4, 5]) share.take(numbered(number));
  await turns(log, 8);
  assert.equal(log.join('').replace(/\|+$/, ''), '|12||34||5', 'behind what else ends its turn');
  assert.deepEqual(putOff, [3, 4, 5]);
  share.take(numbered(6));
  await turns(log, 2);
  assert.deepEqual(putOff, [3, 4, 5], 'what comes later finds its turn');
});

test('a task that asks for another one does not get it in the same turn', async () => {
  const share = new TurnShare(1, 0);
  let runs = 0;
  let putOff = 0;
  await new Promise<void>((resolve) => {
    const again = task(
      () => {
        runs++;
        if (runs === 3) resolve();
        else share.take(again);
      },
      () => putOff++,
    );
    share.take(again);
    assert.equal(runs, 0, 'sockets that are ready go first');
  });
  assert.equal(putOff, 2);
});

test('where turns are long as many begin as the time allows, and none for the time before they came', async () => {
  let now = 1e6;
  const share = new TurnShare(1, 2, { everyMs: 10, now: () => now });
  const log: string[] = [];
  const longTurns = (count: number): Promise<void> => turns(log, count, () => (now += 20));
  let putOff = 0;
  const dot = (): SharedTask =>
    task(
      () => log.push('.'),
      () => putOff++,
    );
  for (let number = 0; number < 15; number++) share.take(dot());
  await longTurns(8);
  assert.equal(log.join(''), '|..|||......|||......|', 'two in 20 ms, then six in 60');
  assert.equal(putOff, 13, 'who begins in its own turn was not put off');
  await longTurns(4);
  now += 60_000;
  log.length = 0;
  for (let number = 0; number < 4; number++) share.take(dot());
  await longTurns(4);
  assert.equal(log.join(''), '|..|||..');
});

test('what was withdrawn takes nobody’s place, and nothing of it is kept', async () => {
  const share = new TurnShare(2, 2);
  const { log, putOff, numbered } = logged();
  const tasks = Array.from({ length: 3000 }, (_, number) => numbered(number));
  for (const one of tasks) share.take(one);
  for (const one of tasks.slice(0, 2900)) share.withdraw(one);
  assert.equal(share.size, 100);
  await turns(log, 2);
  assert.equal(log.join(''), '|29002901|');
  assert.equal(putOff.length, 98);
  for (const one of tasks) share.withdraw(one);
  log.length = 0;
  await turns(log, 3);
  share.take(numbered(1));
  await turns(log, 2);
  assert.equal(log.join(''), '||||1|', 'no pause behind a turn in which nothing ran');
});

test('a task that ends another one of the same turn keeps it from running', async () => {
  const share = new TurnShare(2, 0);
  const { log, numbered } = logged();
  const second = numbered(2);
  share.take(task(() => share.withdraw(second)));
  share.take(second);
  await turns(log, 3);
  assert.equal(log.join(''), '|||');
});

test('once somebody has waited for longer than who dials may wait, who came last goes first', async () => {
  let now = 1e6;
  const share = new TurnShare(2, 0, { everyMs: 1000, now: () => now });
  const { log, numbered } = logged();
  for (const number of [1, 2, 3]) share.take(numbered(number));
  await turns(log, 1);
  now += 500;
  for (const number of [4, 5, 6, 7]) share.take(numbered(number));
  await turns(log, 1);
  assert.equal(log.join(''), '|12|34', 'half a second is in time');
  now += 501;
  share.take(numbered(8));
  await turns(log, 2);
  assert.equal(log.join(''), '|12|34|87|65');
});
