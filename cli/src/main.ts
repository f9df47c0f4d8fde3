import { systemClock } from '@mesh/clock/system';
import { describeError } from '@mesh/errors/mesh-error';
import { findCommand, parseWords } from './command.ts';
import { commands } from './commands.ts';
import { commandHelp, groupHelp } from './help.ts';
import { type Output, terminalOutput } from './output.ts';

/** Runs one command line. Exit codes: 0 success, 1 failure, 2 a line that could not be understood. */
async function run(words: readonly string[], output: Output): Promise<number> {
  const found = findCommand(commands, words);
  if (found === undefined) {
    const group = words.filter((word) => !word.startsWith('-')).join(' ');
    const known = group === '' || commands.some(({ name }) => name.startsWith(`${group} `));
    if (known) {
      output.print(groupHelp(commands, group));
      return group === '' && words.length === 0 ? 2 : 0;
    }
    output.note(
      `mesh: there is no command ${JSON.stringify(words[0])}\n  remedy: mesh --help lists the commands`,
    );
    return 2;
  }
  const { command, rest } = found;
  let parsed: ReturnType<typeof parseWords>;
  try {
    parsed = parseWords(command, rest);
  } catch (failure) {
    output.note(describeError(failure));
    return 2;
  }
  if (parsed.help) {
    output.print(commandHelp(command));
    return 0;
  }
  const { flags, args } = parsed;
  const invocation = { flags, args, output, clock: systemClock, environment: process.env };
  return (await command.run(invocation as Parameters<typeof command.run>[0])) ?? 0;
}

const output = terminalOutput({ stdout: process.stdout, stderr: process.stderr, environment: process.env });
run(process.argv.slice(2), output).then(
  (code) => {
    process.exitCode = code;
  },
  (failure: unknown) => {
    output.note(`${output.paint('red', 'error:')} ${describeError(failure)}`);
    process.exitCode = 1;
  },
);
