import assert from 'node:assert/strict';
import { test } from 'node:test';
import { spareBufferBytes } from '@mesh/sockets/spare-buffers';
import { ReadShare, type Transfer, transferBytesPerTurn } from './read-share.ts';

class CountedTransfer implements Transfer {
  turns = 0;

  onTurn(): void {
    this.turns++;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const burst = spareBufferBytes;

void test('a turn that is used up is over for who reads much, not for who reads little', () => {
  const share = new ReadShare();
  const [one, other] = [new CountedTransfer(), new CountedTransfer()];
  assert.equal(share.isOver(one, transferBytesPerTurn - burst, transferBytesPerTurn - burst), false);
  assert.equal(share.isOver(other, burst - 1, burst - 1), false);
  assert.equal(share.isOver(other, 1, burst), true);
  assert.equal(share.isOver(one, 1, transferBytesPerTurn), true);
});

void test('a turn that was waited for is whole, however much others read meanwhile', async () => {
  const share = new ReadShare();
  const [one, other] = [new CountedTransfer(), new CountedTransfer()];
  assert.equal(share.isOver(other, transferBytesPerTurn, 1), false);
  assert.equal(share.isOver(one, burst, burst), true);
  share.wait(one);
  await turn();
  assert.equal(one.turns, 1);
  share.isOver(other, 2 * transferBytesPerTurn, 1);
  assert.equal(share.isOver(one, burst, burst), false);
  assert.equal(share.isOver(one, transferBytesPerTurn, transferBytesPerTurn), true);
  await turn();
  share.isOver(other, transferBytesPerTurn, 1);
  assert.equal(share.isOver(one, burst, burst), true, "the next turn is everybody's again");
});

void test('of those that wait one goes on in each turn, in their order', async () => {
  const share = new ReadShare();
  const transfers = Array.from({ length: 3 }, () => new CountedTransfer());
  for (const transfer of transfers) share.wait(transfer);
  for (let gone = 1; gone <= 3; gone++) {
    await turn();
    assert.deepEqual(
      transfers.map(({ turns }) => turns),
      transfers.map((_, at) => (at < gone ? 1 : 0)),
    );
  }
});
