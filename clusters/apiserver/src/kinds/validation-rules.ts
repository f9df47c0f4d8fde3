/**
 * CEL rules of custom kinds (`x-kubernetes-validations`): this server evaluates none of them, and says so wherever a
 * definition brings some, because a rule that is silently ignored is worse than one that is refused.
 */
import { at, isObject, listAt, textAt, type Json, type JsonObject } from '../json.ts';
import type { KubeObject } from '../object.ts';

const shown = 3;

/** A sentence that names the rules which are not evaluated; undefined when there are none. */
export function unevaluatedRules(definition: KubeObject): string | undefined {
  const rules: string[] = [];
  for (const version of listAt(definition, 'spec', 'versions')) {
    const schema = at(version, 'schema', 'openAPIV3Schema');
    if (isObject(schema)) collect(schema, `${textAt(version, 'name') ?? ''}:`, rules);
  }
  if (rules.length === 0) return undefined;
  const more = rules.length > shown ? ` and ${rules.length - shown} more` : '';
  return (
    `x-kubernetes-validations are not evaluated by this server, so objects that break them are accepted: ` +
    `${rules.slice(0, shown).join('; ')}${more}`
  );
}

/** Condition of a definition with such rules. */
export function rulesCondition(definition: KubeObject): JsonObject[] {
  const message = unevaluatedRules(definition);
  if (message === undefined) return [];
  return [{ type: 'ValidationRulesEvaluated', status: 'False', reason: 'NotSupported', message }];
}

/** Every schema below `schema` that a rule can stand in, with the path of what it describes. */
function collect(schema: JsonObject, path: string, rules: string[]): void {
  for (const each of listAt(schema, 'x-kubernetes-validations')) {
    const rule = textAt(each, 'rule') ?? '';
    rules.push(`${path} ${rule.length > 100 ? `${rule.slice(0, 100)}…` : rule}`);
  }
  const below = (part: Json | undefined, name: string): void => {
    if (isObject(part)) collect(part, `${path}${name}`, rules);
  };
  const properties = schema['properties'];
  for (const [name, part] of Object.entries(isObject(properties) ? properties : {})) below(part, `.${name}`);
  below(schema['items'], '[]');
  below(schema['additionalProperties'], '[*]');
}
