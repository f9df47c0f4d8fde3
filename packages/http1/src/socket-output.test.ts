import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '@mesh/testkit/eventually';
import { socketPair } from '@mesh/testkit/servers';
import { SocketOutput } from './socket-output.ts';

const large = (letter: string): Buffer => Buffer.alloc(16 * 1024, letter);

test('text and chunks of a turn leave in their order and in one piece; 48 KiB do not wait for its end', async (t) => {
  const [client, accepted] = await socketPair(t);
  let arrived = '';
  accepted.setEncoding('latin1');
  accepted.on('data', (text: string) => {
    arrived += text;
  });
  const output = new SocketOutput(client);
  const expected: string[] = [];
  const text = (piece: string): void => {
    output.text(piece);
    expected.push(piece);
  };
  const data = (chunk: Buffer): void => {
    output.data(chunk);
    expected.push(chunk.toString('latin1'));
  };
  text('head');
  data(large('a'));
  text('between');
  data(Buffer.from('small'));
  data(large('b'));
  text('after');
  assert.equal(output.handovers, 0);
  const all = (): boolean => arrived.length === expected.join('').length;
  await eventually('the first turn', all);
  assert.equal(output.handovers, 1);
  for (const letter of ['c', 'd', 'e']) data(large(letter));
  assert.equal(output.handovers, 2);
  text('end');
  await eventually('the second turn', all);
  assert.equal(output.handovers, 3);
  assert.equal(arrived, expected.join(''));
});

test('what is discarded was never handed over', async (t) => {
  const [client, accepted] = await socketPair(t);
  let arrived = 0;
  accepted.on('data', (bytes: Buffer) => {
    arrived += bytes.length;
  });
  const output = new SocketOutput(client);
  output.text('head');
  output.data(large('a'));
  output.discard();
  assert.equal(output.handovers, 0);
  output.text('x');
  await eventually('what came later', () => arrived > 0);
  assert.equal(arrived, 1);
});
