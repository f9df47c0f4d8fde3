/** Collects the field faults of one object, worded as Kubernetes words them, for a 422 with its causes. */
import type { Json } from './json.ts';

/** One field that is wrong, as `details.causes` of a Status lists it. */
export interface StatusCause {
  reason: string;
  message: string;
  field?: string;
}

export class Faults {
  readonly causes: StatusCause[] = [];

  required(field: string, why = ''): void {
    this.causes.push({
      reason: 'FieldValueRequired',
      message: `Required value${why === '' ? '' : `: ${why}`}`,
      field,
    });
  }

  invalid(field: string, value: Json | undefined, why: string): void {
    const shown = JSON.stringify(value ?? null);
    this.causes.push({ reason: 'FieldValueInvalid', message: `Invalid value: ${shown}: ${why}`, field });
  }

  unsupported(field: string, value: Json | undefined, allowed: readonly string[]): void {
    const list = allowed.map((item) => JSON.stringify(item)).join(', ');
    this.causes.push({
      reason: 'FieldValueNotSupported',
      message: `Unsupported value: ${JSON.stringify(value ?? null)}: supported values: ${list}`,
      field,
    });
  }

  duplicate(field: string, value: Json): void {
    this.causes.push({
      reason: 'FieldValueDuplicate',
      message: `Duplicate value: ${JSON.stringify(value)}`,
      field,
    });
  }

  forbidden(field: string, why: string): void {
    this.causes.push({ reason: 'FieldValueForbidden', message: `Forbidden: ${why}`, field });
  }

  tooLong(field: string, longest: number): void {
    this.causes.push({
      reason: 'FieldValueTooLong',
      message: `Too long: may not be more than ${longest} bytes`,
      field,
    });
  }

  tooMany(field: string, count: number, most: number): void {
    this.causes.push({
      reason: 'FieldValueTooMany',
      message: `Too many: ${count}: must have at most ${most} items`,
      field,
    });
  }

  notFound(field: string, value: Json): void {
    this.causes.push({
      reason: 'FieldValueNotFound',
      message: `Not found: ${JSON.stringify(value)}`,
      field,
    });
  }

  typeInvalid(field: string, value: Json | undefined, why: string): void {
    const shown = JSON.stringify(value ?? null);
    this.causes.push({ reason: 'FieldValueTypeInvalid', message: `Invalid value: ${shown}: ${why}`, field });
  }
}
