import { systemClock } from '@mesh/clock/system';
import { commands } from './commands.ts';
import { dispatch } from './dispatch.ts';
import { terminalOutput } from './output.ts';

// Whoever reads has seen enough, as `head` has: no fault, and nothing more to do (141: ended by SIGPIPE, as other commands are).
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(141);
  });
}

const environment = process.env;
const output = terminalOutput({ stdout: process.stdout, stderr: process.stderr, environment });
process.exitCode = await dispatch(commands, process.argv.slice(2), {
  output,
  clock: systemClock,
  environment,
});
