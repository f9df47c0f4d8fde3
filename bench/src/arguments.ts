/** Command line of the bench. */
import { parseArgs } from 'node:util';
import { MeshError } from '@mesh/errors/mesh-error';

export interface BenchArguments {
  /** Names of cells; undefined: all. */
  readonly cells: readonly string[] | undefined;
  /** Names of contestants; undefined: all. */
  readonly only: readonly string[] | undefined;
  /** Replaces what each cell says. */
  readonly connections: readonly number[] | undefined;
  readonly seconds: number;
  readonly repeats: number;
}

export const usage = `npm run bench -- [--quick] [--cells NAMES] [--only CONTESTANTS] [--connections NUMBERS] [--seconds S] [--repeats N]
Lists are separated by commas.`;

/** @throws MeshError cli-usage */
export function benchArguments(args: readonly string[]): BenchArguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      cells: { type: 'string' },
      only: { type: 'string' },
      connections: { type: 'string' },
      seconds: { type: 'string' },
      repeats: { type: 'string' },
    },
  });
  return {
    cells: values.cells?.split(','),
    only: values.only?.split(','),
    connections: values.connections?.split(',').map((text) => whole('--connections', text, 1, 10_000)),
    seconds: whole('--seconds', values.seconds ?? (values.quick ? '1' : '3'), 1, 60),
    repeats: whole('--repeats', values.repeats ?? (values.quick ? '1' : '3'), 1, 20),
  };
}

function whole(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new MeshError('cli-usage', `${option} ${text} is not a whole number from ${min} to ${max}`, {
    remedy: usage,
  });
}
