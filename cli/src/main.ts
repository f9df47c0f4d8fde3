import { systemClock } from '@mesh/clock/system';
import { commands } from './commands.ts';
import { dispatch } from './dispatch.ts';
import { terminalOutput } from './output.ts';

const environment = process.env;
const output = terminalOutput({ stdout: process.stdout, stderr: process.stderr, environment });
process.exitCode = await dispatch(commands, process.argv.slice(2), {
  output,
  clock: systemClock,
  environment,
});
