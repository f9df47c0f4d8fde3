import assert from 'node:assert/strict';
import { detectBytes, judgeProtocol } from '@mesh/transport/detect';
import type { FuzzTarget } from '../target.ts';

export const detect: FuzzTarget = {
  name: 'detect',
  what: 'protocol of a connection by its first bytes',
  mostBytes: 2048,
  seeds: () =>
    [
      'GET /items HTTP/1.1\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'OPTIONS * HTTP/1.0\r\n',
      '\x16\x03\x01',
      'SSH-2.0-x',
    ].map((text) => Buffer.from(text, 'latin1')),
  dictionary: [' HTTP/1.1\r\n', ' HTTP/1.0\r', 'PRI ', ' /', 'POST'].map((text) => Buffer.from(text)),
  run(input) {
    const whole = judgeProtocol(input);
    if (input.length >= detectBytes) assert.notEqual(whole, undefined, 'undecided for ever');
    let decided: string | undefined;
    for (let length = 1; length <= Math.min(input.length, 80); length++) {
      const part = judgeProtocol(input.subarray(0, length));
      if (decided !== undefined) assert.equal(part, decided, 'a decision changed');
      decided = part;
    }
  },
};
