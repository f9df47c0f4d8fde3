import { categories, type Category } from './categories.ts';
import type { Profile } from './recorder.ts';

export interface HopProfile {
  readonly name: string;
  /** CPU time for what the hop carried, in the cell's unit. */
  readonly cost: number;
  readonly profile: Profile;
}

export interface ProfiledCell {
  readonly title: string;
  /** Such as `µs per request`. */
  readonly unit: string;
  readonly connections: number;
  readonly hops: readonly HopProfile[];
  /** How many functions are listed of each hop. */
  readonly functions: number;
}

/** Markdown: what each hop cost, by category. */
export function profileTable({ title, unit, connections, hops, functions }: ProfiledCell): string {
  const names = Object.keys(categories) as Category[];
  const part = ({ cost, profile }: HopProfile, samples: number): string =>
    ((cost * samples) / Math.max(1, profile.samples)).toFixed(2);
  const row = (label: string, values: readonly string[]): string => `| ${label} | ${values.join(' | ')} |`;
  const lines = [
    `### ${title}, ${connections} connections: ${unit}`,
    '',
    row(
      '',
      hops.map(({ name }) => name),
    ),
    row(
      '---',
      hops.map(() => '---'),
    ),
    ...names.map((name) =>
      row(
        categories[name],
        hops.map((hop) => part(hop, hop.profile.categories.get(name) ?? 0)),
      ),
    ),
    row(
      '**all**',
      hops.map(({ cost }) => `**${cost.toFixed(2)}**`),
    ),
    '',
  ];
  for (const hop of functions === 0 ? [] : hops) {
    lines.push(`${hop.name}, functions:`, '');
    for (const [name, samples] of hop.profile.functions.slice(0, functions)) {
      lines.push(`- ${part(hop, samples)} ${name}`);
    }
    lines.push('');
  }
  return lines.join('\n');
}
