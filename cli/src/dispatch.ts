/** From the words of a command line to an exit code: 0 success, 1 failure, 2 a line that could not be understood. */
import { describeError, MeshError } from '@mesh/errors/mesh-error';
import { type Command, findCommand, type Invocation, parseWords } from './command.ts';
import { commandHelp, groupHelp } from './help.ts';

type Surroundings = Pick<Invocation<never>, 'output' | 'clock' | 'environment'>;

export async function dispatch(
  commands: readonly Command[],
  line: readonly string[],
  surroundings: Surroundings,
): Promise<number> {
  const { output } = surroundings;
  const words = asCommand(line);
  const found = findCommand(commands, words);
  if (found === undefined) return showGroup(commands, words, surroundings);
  const { command, rest } = found;
  try {
    const { flags, args, help } = parseWords(command, rest);
    if (help) {
      output.print(commandHelp(command));
      return 0;
    }
    const invocation = { flags, args, ...surroundings };
    return (await command.run(invocation as Parameters<typeof command.run>[0])) ?? 0;
  } catch (failure) {
    output.note(`${output.paint('red', 'error:')} ${describeError(failure)}`);
    return failure instanceof MeshError && failure.code === 'cli-usage' ? 2 : 1;
  }
}

/** What people type from habit: `mesh help WORDS` and `mesh --version`. */
function asCommand(line: readonly string[]): readonly string[] {
  if (line[0] === 'help') return [...line.slice(1), '--help'];
  if (line[0] === '--version') return ['version', '--client'];
  return line;
}

/** Help for a group of commands is what was asked for, or the answer to a line that stops short. */
function showGroup(commands: readonly Command[], words: readonly string[], { output }: Surroundings): number {
  const asked = words.some((word) => word === '--help' || word === '-h');
  const path = words.filter((word) => !word.startsWith('-'));
  const group = path.join(' ');
  if (group === '' || commands.some(({ name }) => name.startsWith(`${group} `))) {
    output.print(groupHelp(commands, group));
    return asked ? 0 : 2;
  }
  const [first = ''] = path;
  const near = commands.some(({ name }) => name.startsWith(`${first} `)) ? ` ${first}` : '';
  output.note(
    `${output.paint('red', 'error:')} there is no command ${JSON.stringify(`mesh ${group}`)}\n  remedy: mesh${near} --help lists the commands`,
  );
  return 2;
}
