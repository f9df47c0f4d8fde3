/**
 * Configuration from the environment.
 *
 * Each program declares one table (name, unit, default, bounds, what it does). Reading resolves every entry once
 * into a frozen object, and refuses by name: unknown `MESH_*` variables, missing required ones and bad values.
 * docs/config.md is generated from the tables.
 */
import { MeshError } from '@mesh/errors/mesh-error';

interface Entry<Value> {
  /** One sentence for docs/config.md. */
  readonly doc: string;
  readonly kind: string;
  /** Text form of the default, or undefined when the variable is required. */
  readonly default: string | undefined;
  /** Text form of what is allowed, for errors and docs. */
  readonly allowed: string;
  /** Undefined when the text is not allowed. */
  parse(text: string): Value | undefined;
}

export type ConfigEntry<Value> = Entry<Value>;
export type ConfigTable = Readonly<Record<`MESH_${string}`, ConfigEntry<unknown>>>;
export type Config<Table extends ConfigTable> = {
  readonly [Name in keyof Table]: Table[Name] extends ConfigEntry<infer Value> ? Value : never;
};

interface TextOptions {
  doc: string;
  default?: string;
  pattern?: RegExp;
}

export function text({ doc, default: fallback, pattern }: TextOptions): ConfigEntry<string> {
  return {
    doc,
    kind: 'text',
    default: fallback,
    allowed: pattern === undefined ? 'any text' : `text matching ${pattern.source}`,
    parse: (value) => (pattern === undefined || pattern.test(value) ? value : undefined),
  };
}

/** Whole number within [min, max]. */
export function integer(options: {
  doc: string;
  default?: number;
  min: number;
  max: number;
}): ConfigEntry<number> {
  const { doc, min, max } = options;
  return {
    doc,
    kind: 'integer',
    default: options.default?.toString(),
    allowed: `a whole number from ${min} to ${max}`,
    parse(value) {
      if (!/^-?\d+$/.test(value)) return undefined;
      const number = Number(value);
      return number >= min && number <= max ? number : undefined;
    },
  };
}

export function flag({ doc, default: fallback }: { doc: string; default: boolean }): ConfigEntry<boolean> {
  return {
    doc,
    kind: 'flag',
    default: String(fallback),
    allowed: '"true" or "false"',
    parse: (value) => (value === 'true' ? true : value === 'false' ? false : undefined),
  };
}

export function oneOf<const Choice extends string>(
  choices: readonly Choice[],
  { doc, default: fallback }: { doc: string; default?: Choice },
): ConfigEntry<Choice> {
  return {
    doc,
    kind: 'choice',
    default: fallback,
    allowed: choices.map((choice) => `"${choice}"`).join(', '),
    parse: (value) => choices.find((choice) => choice === value),
  };
}

const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of a whole number with its unit (`250ms`, `10s`, `5m`, `24h`); undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+)(ms|s|m|h)$/.exec(text);
  const unit = durationUnits[match?.[2] ?? ''];
  return match === null || unit === undefined ? undefined : Number(match[1]) * unit;
}

/** Duration in the form of `parseDuration`, as milliseconds. Bounds are in the same text form. */
export function duration(options: {
  doc: string;
  default?: string;
  min: string;
  max: string;
}): ConfigEntry<number> {
  const least = parseDuration(options.min) ?? 0;
  const most = parseDuration(options.max) ?? Number.MAX_SAFE_INTEGER;
  return {
    doc: options.doc,
    kind: 'duration',
    default: options.default,
    allowed: `a duration from ${options.min} to ${options.max}, for example 10s`,
    parse(value) {
      const ms = parseDuration(value);
      return ms === undefined || ms < least || ms > most ? undefined : ms;
    },
  };
}

/** Comma-separated items, each checked by `item`; empty text is the empty list. */
export function list<Value>(
  item: ConfigEntry<Value>,
  options: { doc: string; default?: string },
): ConfigEntry<Value[]> {
  return {
    doc: options.doc,
    kind: `list of ${item.kind}`,
    default: options.default,
    allowed: `comma-separated: ${item.allowed}`,
    parse(value) {
      const values: Value[] = [];
      for (const part of value === '' ? [] : value.split(',')) {
        const parsed = item.parse(part.trim());
        if (parsed === undefined) return undefined;
        values.push(parsed);
      }
      return values;
    },
  };
}

/** What a kubelet adds for a Service called mesh-something (Docker links); nobody's setting. */
const serviceLink =
  /_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$|_PORT$/;
/** The value of such a PORT, which no setting of ours has: a Service called mesh-admin must not stop the sidecars beside it. */
const serviceLinkPort = /^(tcp|udp|sctp):\/\//;

/**
 * Reads `table` from `environment`.
 * @throws MeshError config-unknown, config-missing or config-invalid; the message lists every fault at once.
 */
export function readConfig<Table extends ConfigTable>(
  table: Table,
  environment: Readonly<Record<string, string | undefined>>,
): Config<Table> {
  const faults: string[] = [];
  let code: 'config-unknown' | 'config-missing' | 'config-invalid' = 'config-invalid';
  for (const name of Object.keys(environment)) {
    if (name.startsWith('MESH_') && !(name in table) && !serviceLink.test(name)) {
      code = 'config-unknown';
      faults.push(`${name} is not a setting of this program`);
    }
  }
  const config: Record<string, unknown> = {};
  for (const [name, entry] of Object.entries(table)) {
    const given = environment[name];
    const linked = name.endsWith('_PORT') && given !== undefined && serviceLinkPort.test(given);
    const value = (linked ? undefined : given) ?? entry.default;
    if (value === undefined) {
      code = 'config-missing';
      faults.push(`${name} is required: ${entry.doc}`);
      continue;
    }
    const parsed = entry.parse(value);
    if (parsed === undefined)
      faults.push(`${name}=${JSON.stringify(value)} is not allowed: expected ${entry.allowed}`);
    else config[name] = parsed;
  }
  if (faults.length > 0) {
    throw new MeshError(code, faults.join('\n'), {
      remedy: 'docs/config.md lists every setting with its bounds.',
    });
  }
  return Object.freeze(config) as Config<Table>;
}
