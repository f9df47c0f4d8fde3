/** The part of kubectl's JSONPath that printer columns use: members, indexes, wildcards and `[?(@.a=="b")]`. */
import { isObject, type Json } from './json.ts';

type Step = (value: Json) => Json[];

const member =
  (name: string): Step =>
  (value) => {
    if (!isObject(value) || !Object.hasOwn(value, name)) return [];
    const found = value[name];
    return found === undefined ? [] : [found];
  };
const everything: Step = (value) =>
  Array.isArray(value) ? value : isObject(value) ? Object.values(value) : [];

function bracketStep(text: string): Step | undefined {
  if (text === '*') return everything;
  if (/^-?\d+$/.test(text)) {
    return (value) => {
      const found = Array.isArray(value) ? value.at(Number(text)) : undefined;
      return found === undefined ? [] : [found];
    };
  }
  const quoted = /^(['"])(.*)\1$/.exec(text);
  if (quoted !== null) return member(quoted[2] ?? '');
  const filter = /^\?\(\s*@\.([\w.-]+)\s*(==|!=)\s*(?:'([^']*)'|"([^"]*)"|([\w.-]+))\s*\)$/.exec(text);
  if (filter === null) return undefined;
  const steps = (filter[1] ?? '').split('.').map(member);
  const wanted = filter[3] ?? filter[4] ?? filter[5] ?? '';
  return (value) =>
    everything(value).filter((item) => {
      const found = follow(item, steps)[0];
      return (found !== undefined && String(found) === wanted) === (filter[2] === '==');
    });
}

function follow(value: Json, steps: readonly Step[]): Json[] {
  return steps.reduce<Json[]>((values, step) => values.flatMap(step), [value]);
}

/** The values at a path such as `.status.conditions[?(@.type=="Ready")].status`; undefined for a path we cannot read. */
export function compileJsonPath(path: string): ((value: Json) => Json[]) | undefined {
  const steps: Step[] = [];
  const token = /\.((?:[^.[\]\\]|\\.)+)|\[((?:[^\]'"]|'[^']*'|"[^"]*")+)\]/y;
  const text = path.startsWith('.') || path.startsWith('[') ? path : `.${path}`;
  while (token.lastIndex < text.length) {
    const match = token.exec(text);
    if (match === null) return undefined;
    const name = match[1]?.replace(/\\(.)/g, '$1');
    const step = name === undefined ? bracketStep(match[2] ?? '') : name === '*' ? everything : member(name);
    if (step === undefined) return undefined;
    steps.push(step);
  }
  return (value) => follow(value, steps);
}
