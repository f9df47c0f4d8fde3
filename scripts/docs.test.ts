/** The documents hold: the paths they name exist, their links lead somewhere, and the references are what is generated. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { type SyntheticCause, syntheticCauses } from '../packages/http/src/synthetic.ts';
import { configTables, limitTables, references } from './references.ts';

const root = resolve(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

const topFolders = [
  'bench',
  'charts',
  'cli',
  'clusters',
  'docs',
  'e2e-multicluster',
  'interop',
  'fuzz',
  'packages',
  'scripts',
  'services',
];
const codeSpan = /`([^`\s]+)`/g;
const link = /\]\(([^)#\s]+)(?:#[^)]*)?\)/g;

/** Paths of the repository in code spans; patterns such as `services/*` are looked up as such. */
function namedPaths(text: string): string[] {
  return Array.from(text.matchAll(codeSpan), (match) => match[1] ?? '').filter(
    (span) => topFolders.includes(span.split('/')[0] ?? '') && (span.includes('/') || span.includes('.')),
  );
}

const documents = globSync('**/*.md', {
  cwd: root,
  exclude: (path) => /(?:^|\/)(?:node_modules|dist|\.git)$/.test(path),
});

test('all documents are looked at', () => {
  for (const known of ['README.md', 'bench/README.md', 'docs/connections.md', 'docs/decisions/README.md'])
    assert.ok(documents.includes(known), known);
});

for (const document of documents) {
  test(`${document}: every path and link leads to a file`, () => {
    const text = read(document);
    // A pattern in code may look like a link.
    const prose = text.replaceAll(/`[^`]*`/g, '');
    const links = Array.from(prose.matchAll(link), (match) => match[1] ?? '').filter(
      (target) => !/^[a-z]+:/.test(target),
    );
    const missing = [...namedPaths(text), ...links.map((target) => join(dirname(document), target))].filter(
      (path) => !existsSync(join(root, path)) && globSync(path, { cwd: root }).length === 0,
    );
    assert.deepEqual(missing, []);
  });
}

test('ARCHITECTURE.md names every service and folder of packages', () => {
  const text = read('ARCHITECTURE.md');
  const absent = globSync('{services,packages}/*', { cwd: root }).filter((directory) => {
    const [parent = '', name = ''] = directory.split('/');
    return !text.includes(directory) && !new RegExp(`${parent}/\\{[^}]*\\b${name}\\b`).test(text);
  });
  assert.deepEqual(absent, []);
});

for (const [file, text] of references()) {
  test(`${file} is what the sources say: npm run generate`, () => {
    assert.equal(read(file), text);
  });
}

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
