/** Sends a list of requests and writes the answers down so that those of two servers can be compared. */
import { eventually } from '@mesh/testkit/eventually';
import type { ApiFixture, Answer, Call } from '../api-fixture.ts';
import { at, isObject, listAt, textAt, type Json, type JsonObject } from '../json.ts';
import type { ClusterKeys } from '../pki.ts';
import type { Step } from './requests.ts';

/** What is compared of one answer. */
export interface Recorded {
  readonly code: number;
  readonly warnings?: readonly string[];
  readonly body: Json;
}

type Server = ApiFixture<{ port: number; keys: ClusterKeys }>;

/** The answers by the names of their steps. */
export async function converse(api: Server, steps: readonly Step[]): Promise<Map<string, Recorded>> {
  const bodies = new Map<string, JsonObject>();
  const recorded = new Map<string, Recorded>();
  for (const step of steps) {
    const answer = await settled(api, fill(step, bodies));
    bodies.set(step.name, answer.body);
    const warnings = [answer.headers['warning'] ?? []].flat().map(String);
    recorded.set(step.name, {
      code: answer.code,
      ...(warnings.length === 0 ? {} : { warnings: warnings.map(plain) }),
      body: normalise(select(step, answer), step.owners === true),
    });
  }
  return recorded;
}

/** Asks until the answer holds what the step waits for: some things happen a little after they were asked for. */
async function settled(api: Server, step: Step): Promise<Answer> {
  const { until } = step;
  if (until === undefined) return await send(api, step);
  return await eventually(`${step.name}: ${until}`, async () => {
    const answer = await send(api, step);
    return answer.text.includes(until) ? answer : undefined;
  });
}

async function send(api: Server, step: Step): Promise<Answer> {
  if (step.events !== undefined) return await readEvents(api, step.path, step.events);
  const call: Call = {
    ...(step.method === undefined ? {} : { method: step.method }),
    ...(step.body === undefined ? {} : { body: step.body }),
    ...(step.headers === undefined ? {} : { headers: step.headers }),
    ...(step.as === 'anonymous' ? { credential: null } : {}),
    ...(step.token === undefined ? {} : { token: step.token }),
  };
  return await api.call(step.path, call);
}

async function readEvents(api: Server, path: string, count: number): Promise<Answer> {
  const watch = await api.watch(path);
  const events: Json[] = [];
  while (events.length < count) {
    const { type, object } = await watch.next();
    events.push({ type, object });
  }
  watch.close();
  return { code: 200, headers: {}, text: '', body: { events } };
}

/** Puts in what earlier answers held. */
function fill(step: Step, bodies: ReadonlyMap<string, JsonObject>): Step {
  const text = JSON.stringify(step);
  return JSON.parse(
    text.replace(/\{\{([^:}]+):([^}]+)\}\}/g, (_match, name: string, path: string) => {
      const value = at(bodies.get(name), ...path.split('.'));
      if (typeof value !== 'string') throw new Error(`${step.name}: the answer of ${name} has no ${path}`);
      return value;
    }),
  ) as Step;
}

function select({ members, listed }: Step, { body, text, headers }: Answer): Json {
  if (Object.keys(body).length === 0 && text !== '') return { text, type: headers['content-type'] ?? '' };
  if (listed !== undefined) {
    const nameOf = (item: Json): string => textAt(item, 'name') ?? '';
    const items = listAt(body, listed.list).filter((item) => listed.names.includes(nameOf(item)));
    // Their order has no meaning.
    return items.toSorted((one, other) => (nameOf(one) < nameOf(other) ? -1 : 1));
  }
  if (members === undefined) return body;
  return Object.fromEntries(members.flatMap((name) => (name in body ? [[name, body[name] ?? null]] : [])));
}

/** Members that are different at each server and each time. */
const varying: ReadonlySet<string> = new Set([
  ...['uid', 'resourceVersion', 'creationTimestamp', 'deletionTimestamp', 'time', 'continue', 'nodePort'],
  ...['expirationTimestamp', 'token', 'lastTransitionTime', 'startTime', 'storageVersionHash'],
]);

/** Pages of text that explain columns and fields; nothing decides on them. */
const prose: ReadonlySet<string> = new Set(['description']);

function normalise(value: Json, owners: boolean): Json {
  if (typeof value === 'string') return plain(value);
  if (Array.isArray(value)) return value.map((item) => normalise(item, owners));
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  for (const [key, member] of Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1))) {
    if (prose.has(key) || (key === 'resourceVersion' && member === '')) continue;
    // A failure that has no details says so with an empty object or not at all.
    if (key === 'details' && isObject(member) && Object.keys(member).length === 0) continue;
    if (key === 'managedFields') {
      if (owners) result[key] = listAt(value, key).map(ownership);
      continue;
    }
    result[key] =
      varying.has(key) && typeof member !== 'object' ? `<${key}>` : normalise(member ?? null, owners);
  }
  if (Array.isArray(result['verbs'])) result['verbs'] = result['verbs'].map(String).sort();
  if (result['kind'] === 'Status') orderCauses(result);
  // A row's last word is how old the object is.
  if (Array.isArray(result['cells'])) {
    result['cells'] = result['cells'].map((cell) =>
      typeof cell === 'string' && /^\d+(s|m\d*s?|h\d*m?)$/.test(cell) ? '<age>' : cell,
    );
  }
  return result;
}

/** Several faults come in no certain order, also in the message that lists them. */
function orderCauses(status: JsonObject): void {
  const causes = listAt(status, 'details', 'causes');
  const details = status['details'];
  if (causes.length < 2 || !isObject(details)) return;
  details['causes'] = causes.toSorted((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1));
  status['message'] = String(status['message']).replace(/\[.*\]$/s, '[<causes>]');
}

/** Who owns which leaves. That a manager also made the maps and lists above them decides nothing. */
function ownership(entry: Json): Json {
  const paths: string[] = [];
  const walk = (fields: Json | undefined, path: string): void => {
    const members = Object.entries(isObject(fields) ? fields : {}).filter(([key]) => key !== '.');
    if (members.length === 0) paths.push(plain(path));
    for (const [key, below] of members) walk(below, `${path} ${key}`);
  };
  walk(at(entry, 'fieldsV1'), '');
  const head = ['manager', 'operation', 'subresource', 'apiVersion'].map((key) => textAt(entry, key) ?? '');
  return `${head.join(' ')}:${paths.sort().join(',')}`;
}

function plain(text: string): string {
  return text
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<uid>')
    .replace(/kube-api-access-[a-z0-9]{5}/g, 'kube-api-access-<suffix>')
    .replace(/\b10\.96\.\d+\.\d+\b(?!\/)(?<!10\.96\.0\.7[78])/g, '<address>')
    .replace(/current: \d+/g, 'current: <n>')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>');
}
