/** What a built-in kind adds to the common path of a write. */
import type { Faults } from '../faults.ts';
import { isObject, type Json, type JsonObject } from '../json.ts';
import type { KubeObject } from '../object.ts';

export interface KindRules {
  /** Fills in unset fields, in place. Runs before admission and again after each mutating webhook. */
  defaults?(object: KubeObject): void;
  /** The status a new object starts with, where the kind has one. Default: none. */
  initialStatus?(object: KubeObject): JsonObject;
  /** Carries over, in place, what a client may leave out of an update. */
  prepareUpdate?(next: KubeObject, current: KubeObject): void;
  /** `current` is undefined on create. */
  validate?(object: KubeObject, faults: Faults, current: KubeObject | undefined): void;
  /** What the client is told about an object that is accepted. */
  warnings?(object: KubeObject): readonly string[];
}

/** Sets `name` where it is missing or null. */
export function setDefault(target: JsonObject, name: string, value: Json): void {
  if (target[name] === undefined || target[name] === null) target[name] = value;
}

/** The object member `name`, made when missing. A member of another type is left and a detached object returned. */
export function section(target: JsonObject, name: string): JsonObject {
  if (target[name] === undefined || target[name] === null) target[name] = {};
  const value = target[name];
  return isObject(value) ? value : {};
}

/** The items of the list `name` that are objects. */
export function objectsIn(target: JsonObject, name: string): JsonObject[] {
  const value = target[name];
  return Array.isArray(value) ? value.filter(isObject) : [];
}
