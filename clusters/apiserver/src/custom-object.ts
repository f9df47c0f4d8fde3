/** Objects of custom kinds against the schema of their version. */
import type { CustomVersion } from './custom-version.ts';
import type { Faults } from './faults.ts';
import { clone } from './json.ts';
import type { KubeObject } from './object.ts';
import { applyDefaults, dropNulls, prune, validate } from './schema.ts';

/** Paths of members that would be pruned. */
export function unknownFields({ schema }: CustomVersion, object: KubeObject): string[] {
  return schema === undefined ? [] : prune(schema, clone(object));
}

/** Prunes, drops nulls that are none, then fills in defaults, in place. */
export function defaultCustomObject({ schema }: CustomVersion, object: KubeObject): void {
  if (schema === undefined) return;
  prune(schema, object);
  dropNulls(schema, object);
  applyDefaults(schema, object);
}

export function validateCustomObject({ schema }: CustomVersion, object: KubeObject, faults: Faults): void {
  if (schema !== undefined) validate(schema, object, '', faults, true);
}
