/** Names hold: commands, limits, settings, metrics, causes and reasons that documents speak of are those of the programs. */
import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { test } from 'node:test';
import { commands } from '../cli/src/commands.ts';
import { errorCodes } from '../packages/errors/src/codes.ts';
import { type SyntheticCause, syntheticCauses } from '../packages/http/src/synthetic.ts';
import { importableAnnotations, importableLabels } from '../packages/multicluster/src/import-rules.ts';
import { importRefusals, importWaits, linkFaults } from '../services/mirror/src/link-reasons.ts';
import { documents, read, root } from './documents.ts';
import { configTables, limitTables } from './references.ts';

test('every command of mesh that a document or a remedy names exists', () => {
  const paths = [...commands.map(({ name }) => name), 'help'];
  const known = (words: string): boolean =>
    paths.some((path) => `${words} `.startsWith(`${path} `) || path.startsWith(`${words} `));
  const named = [
    ...documents.flatMap((document) =>
      Array.from(read(document).matchAll(/`mesh ([a-z][a-z-]*(?: [a-z][a-z-]*)*)/g)),
    ),
    ...Object.values(errorCodes).flatMap(({ remedy }) =>
      Array.from(remedy.matchAll(/\bmesh ([a-z][a-z-]*(?: [a-z][a-z-]*)*)/g)),
    ),
  ].map(([, words = '']) => words);
  assert.ok(named.length > 50, `${named.length} found`);
  assert.deepEqual(
    named.filter((words) => !known(words)),
    [],
  );
});

test('every limit, metric and setting that a document names exists, with the value that is said of it', () => {
  const known = new Map<string, number | undefined>();
  for (const match of read('docs/metrics.md').matchAll(/^\| `([a-z0-9_]+)`/gm))
    known.set(match[1] ?? '', undefined);
  for (const { table } of configTables) for (const name of Object.keys(table)) known.set(name, undefined);
  for (const { table } of limitTables)
    for (const [name, { default: value }] of Object.entries(table)) known.set(name, value);
  // A label of metrics, and a module of Node.
  const others = new Set(['client_id', 'worker_threads']);
  const units: Readonly<Record<string, number>> = { KiB: 1024, MiB: 1_048_576, ms: 1, s: 1000 };
  const wrong: string[] = [];
  for (const document of documents) {
    const name =
      /`((?:[a-z][a-z0-9]*(?:_[a-z0-9]+)+)|MESH_[A-Z_]+)(?:\{[^`]*\})?`(?: \(([\d,.]+) (KiB|MiB|ms|s)\b)?/g;
    for (const [, found = '', number, unit = ''] of read(document).matchAll(name)) {
      if (!known.has(found) && !others.has(found)) wrong.push(`${document}: ${found}`);
      const said = number === undefined ? undefined : Number(number.replaceAll(',', '')) * (units[unit] ?? 0);
      const value = known.get(found);
      if (said !== undefined && value !== undefined && said !== value)
        wrong.push(`${document}: ${found} is ${value}, not ${number} ${unit}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('every cause of an answer is given somewhere, or marked as reserved and given nowhere', () => {
  const answering = globSync('{packages/dataplane,services/*}/src/*.ts', { cwd: root })
    .filter((path) => !path.endsWith('.test.ts'))
    .map(read)
    .filter((text) => text.includes("from '@mesh/http/synthetic'"))
    .join('');
  for (const [cause, { reserved }] of Object.entries<SyntheticCause>(syntheticCauses)) {
    assert.equal(answering.includes(`'${cause}'`), reserved !== true, cause);
  }
});

test('every reason of an import or a Link is given somewhere', () => {
  const giving = globSync('{services/mirror,packages/multicluster,packages/trust}/src/*.ts', { cwd: root })
    .filter((path) => !/\.test\.ts$|\/(?:link-reasons|refusal)\.ts$/.test(path))
    .map(read)
    .join('');
  // As it is spelled where it is no reason of a condition yet: `connect-failed`.
  const dialled = (reason: string): string => reason.replaceAll(/(?<=.)[A-Z]/g, '-$&').toLowerCase();
  assert.deepEqual(
    Object.keys({ ...importRefusals, ...importWaits, ...linkFaults }).filter(
      (reason) => ![reason, dialled(reason)].some((word) => giving.includes(`'${word}'`)),
    ),
    [],
  );
});

test('labels and annotations that a peer may send are those that docs/errors.md names', () => {
  const sent = Object.fromEntries(
    ['app', 'component', 'tier', 'version', 'app.kubernetes.io/name', 'team', 'mesh.io/opaque-ports'].map(
      (name) => [name, 'x'],
    ),
  );
  assert.deepEqual(Object.keys(importableLabels(sent)), Object.keys(sent).slice(0, 5));
  assert.deepEqual(Object.keys(importableAnnotations(sent)), ['mesh.io/opaque-ports']);
});

test('every metric is registered in the way that docs/metrics.md finds it by', () => {
  const any = /\.(?:counter|gauge|histogram)\(/g;
  const found = /\.(?:counter|gauge|histogram)\(\s*'[a-z0-9_]+',\s*['"`]/g;
  const others = globSync('{packages,services}/*/src/**/*.ts', { cwd: root }).filter((path) => {
    // Snapshots bring what other processes registered.
    if (/\.test\.ts$|\/testing\/|\/metric-snapshot\.ts$/.test(path)) return false;
    const text = read(path);
    return (text.match(any) ?? []).length !== (text.match(found) ?? []).length;
  });
  assert.deepEqual(others, []);
});

test('every table of limits is in docs/limits.md', () => {
  const tables = globSync('{packages,services,clusters}/*/src/**/*.ts', { cwd: root })
    .filter(
      (path) => !path.endsWith('.test.ts') && read(path).includes('satisfies Record<string, LimitSpec>'),
    )
    .sort();
  assert.deepEqual(limitTables.map(({ file }) => file).sort(), tables);
});

test('every table of settings is in docs/config.md', () => {
  const tables = globSync('{services,clusters}/*/src/*config.ts', { cwd: root })
    .filter((path) => /^export const \w+Config = \{/m.test(read(path)))
    .sort();
  assert.deepEqual(configTables.map(({ file }) => file).sort(), tables);
});

test('names of limits are snake_case and unique, as their metric label is', () => {
  const names = limitTables.flatMap(({ table }) => Object.keys(table));
  assert.deepEqual(
    names.filter((name) => !/^[a-z][a-z0-9]*(_[a-z0-9]+)+$/.test(name)),
    [],
  );
  assert.deepEqual([...new Set(names)], names);
});

test('names of limits end in their unit, and each says why it is there in sentences', () => {
  const wrong = limitTables
    .flatMap(({ table }) => Object.entries(table))
    .filter(
      ([name, { unit, why }]) =>
        (unit === 'count'
          ? /_(?:bytes|ms)$/.test(name)
          : !new RegExp(`_${unit}(?:_per_[a-z]+)?$`).test(name)) || !/^[A-Z0-9].*\.$/.test(why),
    );
  assert.deepEqual(
    wrong.map(([name]) => name),
    [],
  );
});

test('every limit is counted where it is reached, or says why it is not', () => {
  const text = globSync('{packages,services,clusters}/*/src/**/*.ts', { cwd: root })
    .filter((path) => !/\.test\.ts$|\/testing\/|\/gen\/|\/limits\.ts$/.test(path))
    .map(read)
    .join('\n');
  const wrong: string[] = [];
  for (const { file, table } of limitTables) {
    for (const [name, { uncounted }] of Object.entries(table)) {
      // Values are read as properties: a name in quotes is one that goes to `hit`, at once or by a table of faults.
      const counted = text.includes(`'${name}'`);
      if (counted === (uncounted === undefined)) continue;
      wrong.push(`${file}: ${name} is ${counted ? 'counted, and says that it is not' : 'counted nowhere'}`);
    }
  }
  assert.deepEqual(wrong, []);
});
