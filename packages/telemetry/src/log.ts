/**
 * Structured logs: one JSON line with a constant message and key/values. No secret, token or key is ever a value.
 */
import type { Clock } from '@mesh/clock/clock';
import { isoTime } from '@mesh/clock/iso-time';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export const logLevels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to each line. */
  with(fields: LogFields): Logger;
}

interface LoggerOptions {
  clock: Clock;
  level: LogLevel;
  write: (line: string) => void;
  fields?: LogFields;
}

export function createLogger({ clock, level, write, fields = {} }: LoggerOptions): Logger {
  const least = logLevels.indexOf(level);
  const emit = (at: LogLevel, message: string, extra: LogFields | undefined): void => {
    if (logLevels.indexOf(at) < least) return;
    write(`${JSON.stringify({ ts: isoTime(clock.wall()), level: at, msg: message, ...fields, ...extra })}\n`);
  };
  return {
    debug: (message, extra) => emit('debug', message, extra),
    info: (message, extra) => emit('info', message, extra),
    warn: (message, extra) => emit('warn', message, extra),
    error: (message, extra) => emit('error', message, extra),
    with: (extra) => createLogger({ clock, level, write, fields: { ...fields, ...extra } }),
  };
}

/** Drops everything; for tests and tools. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLogger,
};
