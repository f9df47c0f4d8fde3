import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startFixture, type ApiFixture } from './api-fixture.ts';
import { at, listAt, textAt, type Json, type JsonObject } from './json.ts';

const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const links = '/apis/example.com/v1/namespaces/default/links';

const schema: JsonObject = {
  type: 'object',
  required: ['spec'],
  properties: {
    spec: {
      type: 'object',
      required: ['cluster'],
      properties: {
        cluster: { type: 'string', pattern: '^[a-z]+$', maxLength: 8 },
        port: { type: 'integer', default: 4143, minimum: 1, maximum: 65535 },
        mode: { type: 'string', enum: ['a', 'b'] },
        probe: {
          type: 'object',
          default: {},
          properties: { path: { type: 'string', default: '/ready' } },
        },
        addresses: {
          type: 'array',
          items: { type: 'string', format: 'ipv4' },
          'x-kubernetes-list-type': 'set',
        },
        free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        either: { 'x-kubernetes-int-or-string': true },
        word: { type: 'string', pattern: '(?i)^[\\w-]+\\:x$' },
        label: { type: 'string', nullable: true },
        any: { 'x-kubernetes-preserve-unknown-fields': true },
      },
    },
    status: { type: 'object', properties: { state: { type: 'string' } } },
  },
};

function definition(extra: JsonObject = {}): Json {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'links.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'links', kind: 'Link', shortNames: ['ln'] },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: schema },
          subresources: { status: {} },
          additionalPrinterColumns: [
            { name: 'State', type: 'string', jsonPath: '.status.state' },
            { name: 'Port', type: 'integer', jsonPath: '.spec.port' },
          ],
        },
      ],
      ...extra,
    },
  };
}

const link = (spec: JsonObject, name = 'east'): Json => ({
  apiVersion: 'example.com/v1',
  kind: 'Link',
  metadata: { name },
  spec,
});

async function define(api: ApiFixture): Promise<void> {
  const answer = await api.call(definitions, { body: definition() });
  assert.equal(answer.code, 201, answer.text);
}

test('a definition is served at once, with discovery, defaults, pruning and columns', async (t) => {
  const api = await startFixture(t);
  assert.equal((await api.call(links)).code, 404);
  await define(api);
  const group = await api.call('/apis/example.com/v1');
  assert.deepEqual(
    listAt(group.body, 'resources').map((item) => textAt(item, 'name')),
    ['links', 'links/status'],
  );
  const created = await api.call(links, {
    body: link({ cluster: 'east', unknown: 1, free: { any: { thing: 1 } } }),
  });
  assert.equal(created.code, 201, created.text);
  assert.deepEqual(at(created.body, 'spec'), {
    cluster: 'east',
    free: { any: { thing: 1 } },
    port: 4143,
    probe: { path: '/ready' },
  });
  assert.equal(created.headers['warning'], '299 - "unknown field \\"spec.unknown\\""');
  const strict = await api.call(`${links}?fieldValidation=Strict`, {
    body: link({ cluster: 'west', unknown: 1 }, 'west'),
  });
  assert.equal(strict.code, 400);
  await api.patch(`${links}/east/status`, 'merge', { status: { state: 'Connected' } });
  const table = await api.call(links, {
    headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
  });
  assert.deepEqual(at(table.body, 'rows', 0, 'cells'), ['east', 'Connected', 4143]);
});

test('values outside the schema are refused, each with its field', async (t) => {
  const api = await startFixture(t);
  await define(api);
  const cases: [spec: JsonObject, field: string, message: RegExp][] = [
    [{}, 'spec.cluster', /Required value/],
    [{ cluster: 5 }, 'spec.cluster', /must be of type string: "integer"/],
    [{ cluster: 'EAST' }, 'spec.cluster', /should match/],
    [{ cluster: 'much-too-long' }, 'spec.cluster', /may not be more than 8 bytes/],
    [{ cluster: 'a', port: 0 }, 'spec.port', /greater than or equal to 1/],
    [{ cluster: 'a', mode: 'c' }, 'spec.mode', /supported values: "a", "b"/],
    [{ cluster: 'a', addresses: ['1.2.3.4', 'x'] }, 'spec.addresses[1]', /type ipv4/],
    [{ cluster: 'a', addresses: ['1.2.3.4', '1.2.3.4'] }, 'spec.addresses[1]', /Duplicate/],
    [{ cluster: 'a', either: true }, 'spec.either', /integer,string/],
  ];
  for (const [spec, field, message] of cases) {
    const answer = await api.call(links, { body: link(spec) });
    assert.equal(answer.code, 422, JSON.stringify(spec));
    const causes = listAt(answer.body, 'details', 'causes');
    const cause = causes.find((item) => textAt(item, 'field') === field);
    assert.match(textAt(cause, 'message') ?? answer.text, message);
  }
  for (const either of [1, 'x']) {
    const good = await api.call(`${links}?dryRun=All`, { body: link({ cluster: 'a', either }) });
    assert.equal(good.code, 201);
  }
});

test('a definition that is not structural is refused', async (t) => {
  const api = await startFixture(t);
  const versions = [
    {
      name: 'v1',
      served: true,
      storage: true,
      schema: { openAPIV3Schema: { type: 'object', properties: { a: {} } } },
    },
  ];
  const answer = await api.call(definitions, { body: definition({ versions }) });
  assert.equal(answer.code, 422);
  assert.match(answer.text, /openAPIV3Schema.properties\[a\].type/);
});

test('versions differ only in apiVersion', async (t) => {
  const api = await startFixture(t);
  const version = (name: string, storage: boolean): Json => ({
    name,
    served: true,
    storage,
    schema: { openAPIV3Schema: schema },
  });
  await api.call(definitions, {
    body: definition({ versions: [version('v1', true), version('v1beta1', false)] }),
  });
  await api.call(links, { body: link({ cluster: 'a' }) });
  const old = await api.call('/apis/example.com/v1beta1/namespaces/default/links/east');
  assert.equal(old.body['apiVersion'], 'example.com/v1beta1');
  const changed = await api.call('/apis/example.com/v1beta1/namespaces/default/links/east', {
    method: 'PUT',
    body: { ...old.body, spec: { cluster: 'b' } },
  });
  assert.equal(changed.code, 200, changed.text);
  const stored = await api.call(`${links}/east`);
  assert.deepEqual([stored.body['apiVersion'], at(stored.body, 'spec', 'cluster')], ['example.com/v1', 'b']);
});

test('a definition goes after its instances, and is served again after a restart until then', async (t) => {
  const api = await startFixture(t);
  await define(api);
  const body = link({ cluster: 'a' });
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) {
    body['metadata'] = { name: 'held', finalizers: ['example.com/hold'] };
  }
  await api.call(links, { body });
  await api.call(links, { body: link({ cluster: 'a' }, 'free') });
  const deleted = await api.call(`${definitions}/links.example.com`, { method: 'DELETE' });
  assert.equal(deleted.body['kind'], 'CustomResourceDefinition', 'it waits for its instances');
  assert.equal((await api.call(`${links}/free`)).code, 404);
  await api.patch(`${links}/held`, 'merge', { metadata: { finalizers: [] } });
  assert.equal((await api.call(`${definitions}/links.example.com`)).code, 404);
  assert.equal((await api.call(links)).code, 404);
});

test('rules that are not evaluated are told, by warning and by condition, until they go', async (t) => {
  const api = await startFixture(t);
  const rule = 'self.port != 4143 || self.cluster == "east"';
  const ruled = structuredClone(schema);
  const spec = at(ruled, 'properties', 'spec') as JsonObject;
  spec['x-kubernetes-validations'] = [{ rule, message: 'no' }];
  const addresses = at(spec, 'properties', 'addresses', 'items') as JsonObject;
  addresses['x-kubernetes-validations'] = [{ rule: 'self != ""' }];
  const versions = [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: ruled } }];
  const created = await api.call(definitions, { body: definition({ versions }) });
  assert.equal(created.code, 201, created.text);
  const told =
    /x-kubernetes-validations are not evaluated by this server.*v1:\.spec self\.port.*v1:\.spec\.addresses\[\] self/;
  assert.match(created.headers['warning'] ?? '', told);
  const conditions = (body: Json): Json[] =>
    listAt(body, 'status', 'conditions').filter((each) => at(each, 'type') === 'ValidationRulesEvaluated');
  const [condition] = conditions(created.body);
  assert.equal(at(condition, 'status'), 'False');
  assert.match(textAt(condition, 'message') ?? '', told);
  const plain = await api.patch(`${definitions}/links.example.com`, 'merge', {
    spec: at(definition(), 'spec') ?? {},
  });
  assert.equal(plain.code, 200, plain.text);
  assert.equal(plain.headers['warning'], undefined);
  assert.deepEqual(conditions(plain.body), []);
});

test('null where a schema allows none is nothing, or its default: programs in Go send empty lists so', async (t) => {
  const api = await startFixture(t);
  await define(api);
  const created = await api.call(links, {
    body: link({
      ...{ cluster: 'east', addresses: null, mode: null, either: null, port: null, label: null, any: null },
      probe: { path: null },
    }),
  });
  assert.equal(created.code, 201, created.text);
  assert.deepEqual(at(created.body, 'spec'), {
    ...{ cluster: 'east', port: 4143, label: null, any: null, probe: { path: '/ready' } },
  });
  const missing = await api.call(links, { body: link({ cluster: null }, 'west') });
  assert.equal(missing.code, 422);
  assert.match(missing.text, /spec\.cluster: Required value/);
});

test('patterns are those of Go', async (t) => {
  const api = await startFixture(t);
  await define(api);
  const code = async (word: string) =>
    (await api.call(`${links}?dryRun=All`, { body: link({ cluster: 'east', word }) })).code;
  assert.equal(await code('One-Two:X'), 201);
  assert.equal(await code('one two:x'), 422);
});
