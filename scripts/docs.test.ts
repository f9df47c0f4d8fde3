/** The documents hold: the paths they name exist, their links lead somewhere, and the references are what is generated. */
import assert from 'node:assert/strict';
import { existsSync, globSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { documents, read, root } from './documents.ts';
import { references } from './references.ts';

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

/** Documents that comments name; of a decision the number is enough. */
const namedDocument = /(?<![\w./])docs\/[\w/-]+(?:\.md)?/g;

test('every document that a comment or message names exists, and none is named that the repository does not hold', () => {
  const sources = globSync(
    '{packages,services,cli,clusters,charts,bench,interop,fuzz,e2e-multicluster}/**/*.{ts,proto}',
    {
      cwd: root,
      exclude: (path) => /(?:^|\/)(?:node_modules|dist|gen)$/.test(path),
    },
  );
  const wrong: string[] = [];
  let found = 0;
  for (const source of sources) {
    const text = read(source);
    for (const [path] of text.matchAll(namedDocument)) {
      found++;
      if (globSync(`${path}*`, { cwd: root }).length === 0) wrong.push(`${source}: ${path}`);
    }
    for (const [what] of text.matchAll(/\bdesign (?:D\d+|§[\d.]+)/g)) wrong.push(`${source}: ${what}`);
  }
  assert.ok(found > 30, `${found} found`);
  assert.deepEqual(wrong, []);
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
