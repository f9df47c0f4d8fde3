/** The repository checks itself: layers, cycles, banned constructs, names of files. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { layers } from './layers.ts';
import { programs } from './programs.ts';

const root = resolve(import.meta.dirname, '..');

interface Workspace {
  directory: string;
  name: string;
  dependencies: ReadonlySet<string>;
  devDependencies: ReadonlySet<string>;
}

interface Source {
  path: string;
  text: string;
  isTest: boolean;
  workspace: Workspace;
}

const workspaces: Workspace[] = globSync(
  ['packages/*', 'services/*', 'clusters/*', 'charts', 'cli', 'e2e-multicluster', 'bench', 'interop', 'fuzz'],
  {
    cwd: root,
  },
)
  .filter((directory) => existsSync(join(root, directory, 'package.json')))
  .map((directory) => {
    const manifest = JSON.parse(readFileSync(join(root, directory, 'package.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    const names = (field: string): ReadonlySet<string> =>
      new Set(Object.keys((manifest[field] as object | undefined) ?? {}));
    return {
      directory,
      name: String(manifest['name']),
      dependencies: names('dependencies'),
      devDependencies: names('devDependencies'),
    };
  });

const sources: Source[] = workspaces.flatMap((workspace) =>
  globSync(`${workspace.directory}/**/*.ts`, { cwd: root, exclude: (path) => path.includes('node_modules') })
    .filter((path) => !path.includes('/gen/'))
    .map((path) => ({
      path,
      text: readFileSync(join(root, path), 'utf8'),
      // Tests, and what only tests import: it lies in a folder or file named for it.
      isTest:
        /\.test\.ts$|\/testing\/|\/(forgery|model-[a-z]+)\.ts$/.test(path) ||
        ['packages/testkit', 'fuzz', 'interop'].includes(workspace.directory),
      workspace,
    })),
);

const importPattern = /^\s*(?:import|export)\s(?:[^'";]*?\sfrom\s)?'([^']+)'/gm;

function imports({ text }: Source): string[] {
  return Array.from(text.matchAll(importPattern), (match) => match[1] ?? '');
}

/** Without `import type`, which leaves nothing behind at run time. */
function runtimeImports({ text }: Source): string[] {
  return Array.from(text.matchAll(importPattern))
    .filter(([statement]) => !/^\s*(?:import|export)\s+type\s/.test(statement))
    .map((match) => match[1] ?? '');
}

function inMesh(specifier: string): Workspace | undefined {
  const name = /^(@mesh\/[^/]+)\//.exec(specifier)?.[1];
  return workspaces.find((workspace) => workspace.name === name);
}

test('every workspace has one layer, and every member exists', () => {
  const members = layers.flatMap((layer) => layer.members);
  assert.deepEqual([...members].sort(), workspaces.map(({ directory }) => directory).sort());
});

test('imports point down the layers', () => {
  const rank = new Map(
    layers.flatMap((layer, index) => layer.members.map((member) => [member, index] as const)),
  );
  const allowed = new Set(layers.flatMap(({ within = [] }) => within.map(([from, to]) => `${from} ${to}`)));
  const wrong: string[] = [];
  for (const source of sources) {
    if (source.isTest) continue;
    for (const specifier of imports(source)) {
      const target = inMesh(specifier);
      if (target === undefined || target === source.workspace) continue;
      const from = source.workspace.directory;
      const down = (rank.get(target.directory) ?? 0) < (rank.get(from) ?? 0);
      if (!down && !allowed.has(`${from} ${target.directory}`))
        wrong.push(`${source.path} imports ${specifier}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('the test kit is for tests alone', () => {
  const wrong = sources
    .filter(({ isTest, workspace }) => !isTest && workspace.directory !== 'e2e-multicluster')
    .filter((source) => imports(source).some((specifier) => specifier.startsWith('@mesh/testkit/')));
  assert.deepEqual(
    wrong.map(({ path }) => path),
    [],
  );
});

test('what is imported is declared, in the manifest of the workspace', () => {
  const wrong: string[] = [];
  for (const source of sources) {
    const { dependencies, devDependencies } = source.workspace;
    for (const specifier of runtimeImports(source)) {
      if (specifier.startsWith('node:') || specifier.startsWith('.')) continue;
      const name = specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/');
      if (name === source.workspace.name || dependencies.has(name)) continue;
      // fast-check is the repository's own: every workspace tests with it.
      if (source.isTest && (devDependencies.has(name) || name === 'fast-check')) continue;
      wrong.push(`${source.path}: ${name}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('relative imports stay inside their workspace', () => {
  const wrong: string[] = [];
  for (const source of sources) {
    for (const specifier of imports(source)) {
      if (!specifier.startsWith('.')) continue;
      const target = relative(source.workspace.directory, join(dirname(source.path), specifier));
      if (target.startsWith('..')) wrong.push(`${source.path}: ${specifier}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('no import cycles between files', () => {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const next = (source: Source): string[] =>
    runtimeImports(source).flatMap((specifier) => {
      if (specifier.startsWith('.')) return [join(dirname(source.path), specifier)];
      const target = inMesh(specifier);
      return target === undefined
        ? []
        : [`${target.directory}/src/${specifier.slice(target.name.length + 1)}.ts`];
    });
  const state = new Map<string, 'open' | 'done'>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
      return;
    }
    const source = byPath.get(path);
    if (source === undefined) return;
    state.set(path, 'open');
    for (const target of next(source)) visit(target, [...trail, path]);
    state.set(path, 'done');
  };
  for (const { path } of sources) visit(path, []);
  assert.deepEqual(cycles, []);
});

interface Ban {
  pattern: RegExp;
  why: string;
  /** Where it is right after all. */
  except: (source: Source) => boolean;
}

const bans: readonly Ban[] = [
  {
    pattern: /:\s*any\b|<any>|\bas any\b|\bany\[\]/,
    why: 'any switches the type checker off; use unknown and narrow',
    except: () => false,
  },
  {
    pattern: /new TLSSocket\(|isServer:\s*true/,
    why: 'a TLS socket made by hand does not enforce client certificates; use @mesh/trust/accept',
    except: ({ path }) => path === 'packages/trust/src/accept.test.ts',
  },
  {
    pattern: /rejectUnauthorized:\s*false/,
    why: 'peers are verified by @mesh/trust alone; only its acceptor turns the built-in check off, to say why it refuses',
    except: ({ path, isTest }) =>
      isTest ||
      path === 'packages/trust/src/accept.ts' ||
      // HTTPS probes do not verify, as a kubelet's do not.
      path === 'clusters/node/src/probe-checks.ts' ||
      // A foreign client certificate gets a 401 of the Kubernetes API instead of a broken handshake.
      path === 'clusters/apiserver/src/server.ts',
  },
  {
    pattern:
      /\bDate\.now\(|\bperformance\.now\(|(?<![.\w])setTimeout\(|(?<![.\w])setInterval\(|\bMath\.random\(/,
    why: 'time and randomness are handed in as Clock and Random',
    except: ({ path, isTest, workspace }) =>
      isTest ||
      path.startsWith('packages/clock/') ||
      ['clusters/apps', 'e2e-multicluster'].includes(workspace.directory),
  },
];

for (const { pattern, why, except } of bans) {
  test(`banned: ${pattern.source.slice(0, 60)} (${why})`, () => {
    const wrong: string[] = [];
    for (const source of sources) {
      if (except(source)) continue;
      source.text.split('\n').forEach((line, index) => {
        const code = line.replace(/\/\/.*$|^\s*\*.*$|^\s*\/\*.*$/, '');
        if (pattern.test(code)) wrong.push(`${source.path}:${index + 1}: ${line.trim()}`);
      });
    }
    assert.deepEqual(wrong, []);
  });
}

test('files are named after what they hold', () => {
  const vague = new Set([
    'index.ts',
    'utils.ts',
    'util.ts',
    'helpers.ts',
    'helper.ts',
    'common.ts',
    'misc.ts',
  ]);
  assert.deepEqual(
    sources.filter(({ path }) => vague.has(basename(path))).map(({ path }) => path),
    [],
  );
});

test('every program that is bundled exists', () => {
  const missing = Object.values(programs).filter((entry) => !existsSync(join(root, entry)));
  assert.deepEqual(missing, []);
});
