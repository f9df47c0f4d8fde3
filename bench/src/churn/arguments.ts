/** Command line of the churn. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { MeshError } from '@mesh/errors/mesh-error';
import type { ChurnOptions } from './churn.ts';

interface ChurnArguments extends ChurnOptions {
  /** Directory that the results are written to; undefined: they are printed alone. */
  readonly out: string | undefined;
}

export const usage = `npm run endurance -- churn     an hour; writes bench/results
npm run endurance -- churn [--minutes 60] [--rate 100] [--seed 1] [--out DIRECTORY]`;

const resultsDirectory = resolve(import.meta.dirname, '../../results');

/** @throws MeshError cli-usage */
export function churnArguments(args: readonly string[]): ChurnArguments {
  const { minutes, rate, seed, out } = parsed(args);
  return {
    minutes: amount('--minutes', minutes, 240),
    rate: amount('--rate', rate, 1000),
    seed: amount('--seed', seed, 1e9),
    out: out ?? (args.length === 0 ? resultsDirectory : undefined),
  };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        minutes: { type: 'string', default: '60' },
        rate: { type: 'string', default: '100' },
        seed: { type: 'string', default: '1' },
        out: { type: 'string' },
      },
    }).values;
  } catch (cause) {
    throw new MeshError('cli-usage', cause instanceof Error ? cause.message : String(cause), {
      remedy: usage,
    });
  }
}

function amount(option: string, text: string, most: number): number {
  const value = Number(text);
  if (value > 0 && value <= most) return value;
  throw new MeshError('cli-usage', `${option} ${text} is not a number above 0 and up to ${most}`, {
    remedy: usage,
  });
}
