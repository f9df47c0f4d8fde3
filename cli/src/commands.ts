/** Every command, in the order in which help shows them. */
import type { Command } from './command.ts';
import { checkCommand } from './commands/check.ts';
import { completionCommand } from './commands/completion.ts';
import { injectCommand } from './commands/inject.ts';
import { installCommand } from './commands/install.ts';
import { localCommands } from './commands/local.ts';
import { multiclusterCommands } from './commands/multicluster.ts';
import { trustCommands } from './commands/trust.ts';
import { versionCommand } from './commands/version.ts';

export const commands: readonly Command[] = [
  installCommand,
  checkCommand,
  injectCommand,
  ...trustCommands,
  ...multiclusterCommands,
  ...localCommands,
  versionCommand,
  completionCommand(() => commands),
];
