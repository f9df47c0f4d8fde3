/**
 * What a command is, and how words become one. Each command is one value with its flags, help and action; the tree
 * is a flat list of paths, so that help, completion and dispatch read the same thing.
 */
import { parseArgs } from 'node:util';
import type { Clock } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import type { Output } from './output.ts';

interface TextFlag {
  kind: 'text';
  doc: string;
  /** Placeholder in help. */
  value: string;
  default?: string;
  /** The only values that are allowed; others are refused before the command runs. */
  choices?: readonly string[];
}
interface ListFlag {
  kind: 'list';
  doc: string;
  value: string;
}
interface BooleanFlag {
  kind: 'boolean';
  doc: string;
}
export type Flag = TextFlag | ListFlag | BooleanFlag;
export type Flags = Readonly<Record<string, Flag>>;

type FlagValue<F extends Flag> = F extends BooleanFlag
  ? boolean
  : F extends ListFlag
    ? string[]
    : TextValue<F> | (F extends { default: string } ? never : undefined);

type TextValue<F extends Flag> = F extends { choices: readonly (infer Choice extends string)[] }
  ? Choice
  : string;

export type FlagValues<Spec extends Flags> = { readonly [Name in keyof Spec]: FlagValue<Spec[Name]> };

export interface Invocation<Spec extends Flags> {
  flags: FlagValues<Spec>;
  args: readonly string[];
  output: Output;
  clock: Clock;
  environment: Readonly<Record<string, string | undefined>>;
}

export interface CommandSpec<Spec extends Flags> {
  /** Words after `mesh`, for example `multicluster link`. */
  name: string;
  summary: string;
  /** Arguments as help shows them, for example `EAST WEST [NORTH…]`. */
  args?: string;
  /** How many arguments are allowed. Default: none. */
  arity?: readonly [least: number, most: number];
  /** Further lines of help. */
  details?: string;
  flags: Spec;
  examples?: readonly string[];
  /** Returns the exit code; nothing means 0. */
  run(invocation: Invocation<Spec>): Promise<number | undefined> | Promise<void>;
}

export type Command = CommandSpec<Flags>;

/** Keeps the types of the flags inside the command and forgets them outside. */
export function command<const Spec extends Flags>(spec: CommandSpec<Spec>): Command {
  return spec as unknown as Command;
}

/** Flags of every command that talks to a cluster. */
export const clusterFlags = {
  kubeconfig: {
    kind: 'text',
    doc: 'Kubeconfig file. Default: $KUBECONFIG, else ~/.kube/config.',
    value: 'FILE',
  },
  context: { kind: 'text', doc: 'Context of the kubeconfig. Default: the current one.', value: 'NAME' },
} as const satisfies Flags;

export const logLevelFlag = {
  kind: 'text',
  doc: 'Least severe lines that are logged.',
  value: 'LEVEL',
  default: 'info',
  choices: ['debug', 'info', 'warn', 'error'],
} as const satisfies Flag;

/** How a result is written; the first form is the default. */
export function outputFlag<const Forms extends readonly [string, ...string[]]>(
  ...choices: Forms
): { kind: 'text'; doc: string; value: string; default: string; choices: Forms } {
  return { kind: 'text', doc: 'Form of the result.', value: 'FORM', default: choices[0], choices };
}

export interface ParsedWords {
  flags: Readonly<Record<string, unknown>>;
  args: string[];
  help: boolean;
}

/** @throws MeshError cli-usage naming the word that does not fit */
export function parseWords(
  { name, flags, arity = [0, 0], args: shown }: Command,
  words: readonly string[],
): ParsedWords {
  const remedy = `See: mesh ${name} --help`;
  const options: Record<string, { type: 'string' | 'boolean'; multiple?: boolean; short?: string }> = {
    help: { type: 'boolean', short: 'h' },
  };
  for (const [flag, { kind }] of Object.entries(flags)) {
    options[flag] = { type: kind === 'boolean' ? 'boolean' : 'string', multiple: kind === 'list' };
  }
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({ args: [...words], options, allowPositionals: true, strict: true });
  } catch (cause) {
    const message = (cause as Error).message.split('. ')[0] ?? '';
    throw new MeshError('cli-usage', `mesh ${name}: ${message}`, { remedy });
  }
  const { values, positionals } = parsed;
  const help = values['help'] === true;
  const [least, most] = arity;
  if (!help && (positionals.length < least || positionals.length > most)) {
    const wanted = shown === undefined ? 'no arguments' : `arguments ${shown}`;
    throw new MeshError(
      'cli-usage',
      `mesh ${name} takes ${wanted}; got ${positionals.length === 0 ? 'none' : positionals.join(' ')}`,
      {
        remedy,
      },
    );
  }
  const resolved: Record<string, unknown> = {};
  for (const [flag, spec] of Object.entries(flags)) {
    const given = values[flag];
    if (spec.kind === 'text' && typeof given === 'string' && spec.choices?.includes(given) === false) {
      throw new MeshError('cli-usage', `mesh ${name}: --${flag} ${JSON.stringify(given)} is not known`, {
        remedy: `Use one of: ${spec.choices.join(', ')}`,
      });
    }
    if (spec.kind === 'boolean') resolved[flag] = given === true;
    else if (spec.kind === 'list') resolved[flag] = given ?? [];
    else resolved[flag] = given ?? spec.default;
  }
  return { flags: resolved, args: positionals, help };
}

/** The command whose path is the longest prefix of `words`, and the words after it. */
export function findCommand(
  commands: readonly Command[],
  words: readonly string[],
): { command: Command; rest: string[] } | undefined {
  let best: Command | undefined;
  for (const candidate of commands) {
    const path = candidate.name.split(' ');
    const fits = path.every((word, index) => words[index] === word);
    if (fits && (best === undefined || candidate.name.length > best.name.length)) best = candidate;
  }
  return best === undefined ? undefined : { command: best, rest: words.slice(best.name.split(' ').length) };
}
