/** Command line of the bench. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { MeshError } from '@mesh/errors/mesh-error';
import type { RunOptions } from './run.ts';

export interface BenchArguments extends RunOptions {
  /** Names of cells; undefined: all. */
  readonly cells: readonly string[] | undefined;
  /** Names of contestants; undefined: all. */
  readonly only: readonly string[] | undefined;
  /** Directory that the results are written to; undefined: they are printed. */
  readonly out: string | undefined;
}

export const usage = `npm run bench                 everything; writes bench/results
npm run bench -- --quick      the main cells, once
npm run bench -- [--cells NAMES] [--only CONTESTANTS] [--connections NUMBERS] [--seconds S] [--repeats N] [--warm-up S] [--half] [--out DIRECTORY]
Lists are separated by commas.`;

const resultsDirectory = resolve(import.meta.dirname, '../results');
const quickCells = ['plain', 'mtls', 'grpc', 'tcp-mtls'];

/** Repeats, in a run of everything, of what targets are decided by: one that a neighbour of the machine disturbs does not decide. */
const everythingDecidedBy = 5;

/** @throws MeshError cli-usage */
export function benchArguments(args: readonly string[]): BenchArguments {
  const { values } = parsed(args);
  const { quick } = values;
  const everything = args.length === 0;
  const repeats = whole('--repeats', values.repeats ?? (quick ? '1' : '3'), 1, 20);
  return {
    cells: values.cells?.split(',') ?? (quick ? quickCells : undefined),
    only: values.only?.split(','),
    connections:
      values.connections?.split(',').map((text) => whole('--connections', text, 1, 10_000)) ??
      (quick ? [32] : undefined),
    seconds: whole('--seconds', values.seconds ?? (quick ? '1' : '2'), 1, 60),
    repeats,
    decidingRepeats: everything ? everythingDecidedBy : repeats,
    warmUpSeconds: whole('--warm-up', values['warm-up'] ?? (quick ? '2' : '3'), 0, 60),
    half: values.half || everything,
    out: values.out ?? (everything ? resultsDirectory : undefined),
  };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean', default: false },
        half: { type: 'boolean', default: false },
        out: { type: 'string' },
        cells: { type: 'string' },
        only: { type: 'string' },
        connections: { type: 'string' },
        seconds: { type: 'string' },
        repeats: { type: 'string' },
        'warm-up': { type: 'string' },
      },
    });
  } catch (cause) {
    throw new MeshError('cli-usage', cause instanceof Error ? cause.message : String(cause), {
      remedy: usage,
    });
  }
}

function whole(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new MeshError('cli-usage', `${option} ${text} is not a whole number from ${min} to ${max}`, {
    remedy: usage,
  });
}
