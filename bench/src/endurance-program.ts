/** A long run as a program: in namespaces of its own, with its results as Markdown and JSON. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import type { Clock } from '@mesh/clock/clock';
import { systemClock as clock } from '@mesh/clock/system';
import { describeError, MeshError } from '@mesh/errors/mesh-error';
import { describeMachine, type Machine } from './machine.ts';
import { isInWorld, prepareNetwork, runInWorld } from './world.ts';

export interface RunEnvironment {
  readonly clock: Clock;
  /** Of the repository. */
  readonly root: string;
  /** Existing, readable by everybody; gets certificates, configurations and logs. */
  readonly directory: string;
  readonly say: (line: string) => void;
}

/** Where and when a run was. */
export interface RunFacts {
  /** ISO 8601. */
  readonly date: string;
  readonly machine: Machine;
}

interface Outcome {
  readonly markdown: string;
  /** For JSON. */
  readonly results: object;
  /** Whether all was as it should be. */
  readonly good: boolean;
}

type Amounts<Name extends string> = Readonly<Record<Name, number>>;

export interface EnduranceProgram<Name extends string> {
  /** Of the subject, and of its files. */
  readonly name: string;
  /** Options that are numbers, with what they are without being given; the most that is taken. */
  readonly options: Readonly<Record<Name, { readonly default: number; readonly most: number }>>;
  run(options: Amounts<Name>, environment: RunEnvironment, facts: RunFacts): Promise<Outcome>;
}

const root = resolve(import.meta.dirname, '../..');
const resultsDirectory = resolve(import.meta.dirname, '../results');
const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** Runs as the main program of this process; `file` is the program's. */
export async function main<Name extends string>(
  file: string,
  program: EnduranceProgram<Name>,
): Promise<void> {
  const args = process.argv.slice(2);
  try {
    if (args.includes('--help')) {
      process.stdout.write(`${usageOf(program)}\n`);
    } else if (isInWorld()) {
      process.exit(await runHere(program, args));
    } else {
      readArguments(program, args);
      process.exitCode = await runInWorld(file, args);
    }
  } catch (thrown) {
    say(describeError(thrown));
    process.exit(1);
  }
}

/** Exit code: 1 when something was not as it should be; the logs stay then. */
async function runHere<Name extends string>(
  program: EnduranceProgram<Name>,
  args: readonly string[],
): Promise<number> {
  const { amounts, out } = readArguments(program, args);
  await prepareNetwork();
  const facts = { date: new Date(clock.wall()).toISOString(), machine: describeMachine(root) };
  const directory = mkdtempSync(join(tmpdir(), `mesh-${program.name}-`));
  chmodSync(directory, 0o755);
  const { markdown, results, good } = await program.run(amounts, { clock, root, directory, say }, facts);
  process.stdout.write(markdown);
  if (out !== undefined) {
    mkdirSync(out, { recursive: true });
    writeFileSync(join(out, `${program.name.toUpperCase()}.md`), markdown);
    writeFileSync(join(out, `${program.name}.json`), `${JSON.stringify(results, null, 1)}\n`);
  }
  if (good) rmSync(directory, { recursive: true, force: true });
  else say(`logs: ${directory}`);
  return good ? 0 : 1;
}

function usageOf<Name extends string>({ name, options }: EnduranceProgram<Name>): string {
  const list = Object.entries<{ default: number }>(options).map(
    ([option, { default: value }]) => `[--${option} ${value}]`,
  );
  return `npm run endurance -- ${name}     writes bench/results
npm run endurance -- ${name} ${list.join(' ')} [--out DIRECTORY]`;
}

/** @throws MeshError cli-usage */
function readArguments<Name extends string>(
  program: EnduranceProgram<Name>,
  args: readonly string[],
): { amounts: Amounts<Name>; out: string | undefined } {
  const options: NonNullable<ParseArgsConfig['options']> = { out: { type: 'string' } };
  for (const name of Object.keys(program.options)) options[name] = { type: 'string' };
  const remedy = usageOf(program);
  let values: Partial<Record<string, unknown>>;
  try {
    ({ values } = parseArgs({ args: [...args], options }));
  } catch (cause) {
    throw new MeshError('cli-usage', cause instanceof Error ? cause.message : String(cause), { remedy });
  }
  const amounts = Object.fromEntries(
    Object.entries<{ default: number; most: number }>(program.options).map(([name, option]) => {
      const value = Number(values[name] ?? option.default);
      if (value > 0 && value <= option.most) return [name, value];
      const text = `--${name} ${String(values[name])} is not a number above 0 and up to ${option.most}`;
      throw new MeshError('cli-usage', text, { remedy });
    }),
  ) as Amounts<Name>;
  const out = typeof values['out'] === 'string' ? values['out'] : undefined;
  return { amounts, out: out ?? (args.length === 0 ? resultsDirectory : undefined) };
}
