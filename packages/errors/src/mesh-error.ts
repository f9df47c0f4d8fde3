/**
 * One error type with a stable code, for every fault a user or an operator can cause.
 *
 * The message names the thing and the value, `remedy` says what to do. Codes never change meaning; docs/errors.md
 * lists them and a test holds the two equal. Parsers do not throw these: they return faults as values.
 */
import { type ErrorCode, errorCodes } from './codes.ts';

export interface MeshErrorOptions {
  /** What the user can do about it, as a full sentence or a command. Default: that of the code. */
  remedy?: string;
  cause?: unknown;
}

export class MeshError extends Error {
  readonly code: ErrorCode;
  readonly remedy: string;

  constructor(code: ErrorCode, message: string, { remedy, cause }: MeshErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'MeshError';
    this.code = code;
    this.remedy = remedy ?? errorCodes[code].remedy;
  }
}

/** The one way from anything thrown to text for a person: message, remedy, then the chain of causes. */
export function describeError(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const lines = [thrown.message];
  if (thrown instanceof MeshError) lines.push(`  remedy: ${thrown.remedy}`);
  for (let cause = thrown.cause, depth = 0; cause !== undefined && depth < 5; depth++) {
    lines.push(`  cause: ${cause instanceof Error ? cause.message : String(cause)}`);
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return lines.join('\n');
}
