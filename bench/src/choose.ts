import { MeshError } from '@mesh/errors/mesh-error';
import { usage } from './arguments.ts';

/** Those that are named, in their own order; all when nothing is named. @throws MeshError cli-usage */
export function choose<Named extends { readonly name: string }>(
  what: string,
  all: readonly Named[],
  names: readonly string[] | undefined,
): readonly Named[] {
  if (names === undefined) return all;
  const unknown = names.find((name) => all.every((one) => one.name !== name));
  if (unknown !== undefined) {
    throw new MeshError('cli-usage', `there is no ${what} ${unknown}`, {
      remedy: `${what}s: ${all.map(({ name }) => name).join(', ')}\n${usage}`,
    });
  }
  return all.filter(({ name }) => names.includes(name));
}
