import assert from 'node:assert/strict';
import { frameMessage, MessageReader } from '@mesh/control-api/message-reader';
import { cuts, type FuzzTarget } from '../target.ts';

const limitBytes = 1024;

function messagesOf(reads: readonly Buffer[]): string[] {
  const reader = new MessageReader(limitBytes);
  const seen: string[] = [];
  for (const read of reads) {
    const result = reader.push(read);
    if (result.kind === 'fault') return [...seen, `fault ${result.code}`];
    for (const message of result.messages) {
      assert.ok(message.length <= limitBytes);
      seen.push(message.toString('latin1'));
    }
  }
  return [...seen, reader.atBoundary ? 'whole' : 'cut off'];
}

export const grpcMessages: FuzzTarget = {
  name: 'grpc-messages',
  what: 'length-prefixed messages of gRPC',
  seeds: () => [Buffer.concat([frameMessage(Buffer.from('one')), frameMessage(Buffer.alloc(0))])],
  dictionary: [Buffer.from([0, 0, 0, 4, 0]), Buffer.from([1, 0, 0, 0, 0]), Buffer.from([0, 0, 0, 4, 1])],
  run(input) {
    const whole = messagesOf([input]);
    const cut = messagesOf(cuts(input));
    // Messages before a fault in the same read are not delivered, in another read they were.
    if (whole.at(-1)?.startsWith('fault')) assert.equal(cut.at(-1), whole.at(-1));
    else assert.deepEqual(cut, whole);
  },
};
