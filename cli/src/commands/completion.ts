import { MeshError } from '@mesh/errors/mesh-error';
import { type Command, command } from '../command.ts';
import { bashCompletion, fishCompletion, zshCompletion } from '../completion-scripts.ts';

const shells = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

export const completionCommand = (commands: () => readonly Command[]): Command =>
  command({
    name: 'completion',
    summary: 'Print completion for a shell',
    args: 'bash|zsh|fish',
    arity: [1, 1],
    flags: {},
    examples: ['source <(mesh completion bash)', 'mesh completion fish | source'],
    async run({ args: [shell = ''], output }) {
      const generate = Object.entries(shells).find(([name]) => name === shell)?.[1];
      if (generate === undefined) {
        throw new MeshError('cli-usage', `there is no completion for shell ${JSON.stringify(shell)}`, {
          remedy: 'Use one of: bash, zsh, fish',
        });
      }
      output.print(generate(commands()));
      return await Promise.resolve(undefined);
    },
  });
