import { initTrust, readTrust } from '@mesh/ca/files';
import { fingerprint } from '@mesh/trust/pem';
import { type Command, command } from '../command.ts';

export const trustCommands: readonly Command[] = [
  command({
    name: 'trust init',
    summary: 'Make the trust anchor that your clusters will share',
    args: 'DIR',
    arity: [1, 1],
    details:
      'Writes DIR/anchor.crt and DIR/anchor.key. The key signs one issuer per cluster at install and is never\n' +
      'uploaded; keep it offline afterwards.',
    flags: {},
    examples: ['mesh trust init ~/mesh-trust'],
    async run({ args: [directory = ''], output, clock }) {
      const { anchorsPem } = await initTrust(directory, { clock });
      output.print(`Trust anchor   ${directory}/anchor.crt`);
      output.print(`Its key        ${directory}/anchor.key (keep it secret)`);
      output.print(`SHA-256        ${fingerprint(anchorsPem) ?? ''}`);
      output.note(`Next: mesh install --cluster NAME --trust ${directory} --apply`);
    },
  }),
  command({
    name: 'trust show',
    summary: 'Show the fingerprint of a trust anchor',
    args: 'DIR',
    arity: [1, 1],
    flags: {},
    async run({ args: [directory = ''], output }) {
      const { anchorsPem } = await readTrust(directory);
      output.print(fingerprint(anchorsPem) ?? '');
    },
  }),
];
