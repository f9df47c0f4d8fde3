import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { systemClock as clock } from '@mesh/clock/system';
import { commands } from './commands.ts';
import { bashCompletion } from './completion-scripts.ts';
import { dispatch } from './dispatch.ts';

async function run(line: string): Promise<{ code: number; out: string; notes: string }> {
  const out: string[] = [];
  const notes: string[] = [];
  const output = {
    print: (text: string) => void out.push(text),
    note: (text: string) => void notes.push(text),
    paint: (_: unknown, text: string) => text,
    interactive: false,
  };
  const words = line === '' ? [] : line.split(' ');
  const code = await dispatch(commands, words, { output, clock, environment: {} });
  return { code, out: out.join('\n'), notes: notes.join('\n') };
}

const lines: readonly (readonly [line: string, code: number, out: RegExp, notes: RegExp])[] = [
  ['', 2, /Commands:\n {2}install/, /^$/],
  ['--help', 0, /Commands:\n {2}install/, /^$/],
  ['help', 0, /Commands:\n {2}install/, /^$/],
  ['trust', 2, /trust init/, /^$/],
  ['trust --help', 0, /trust init/, /^$/],
  ['help trust init', 0, /mesh trust init/, /^$/],
  ['--version', 0, /^Client version: \d/, /^$/],
  ['version --client', 0, /^Client version: \d/, /^$/],
  ['nonsense', 2, /^$/, /no command "mesh nonsense"\n {2}remedy: mesh --help/],
  ['trust nonsense', 2, /^$/, /no command "mesh trust nonsense"\n {2}remedy: mesh trust --help/],
  ['check --nonsense', 2, /^$/, /mesh check: Unknown option '--nonsense'/],
  ['install', 2, /^$/, /the cluster needs a name/],
  [
    'install --cluster east --output xml',
    2,
    /^$/,
    /--output "xml" is not known\n {2}remedy: Use one of: yaml, json/,
  ],
  ['multicluster link east', 2, /^$/, /takes arguments EAST WEST/],
  ['completion tcsh', 2, /^$/, /no completion for shell "tcsh"/],
  ['trust show /no/such/directory', 1, /^$/, /\/no\/such\/directory.*cannot be read/],
];

for (const [line, wanted, toOut, toNotes] of lines) {
  test(`mesh ${line}: exit code ${wanted}`, async () => {
    const { code, out, notes } = await run(line);
    assert.match(notes, toNotes);
    assert.match(out, toOut);
    assert.equal(code, wanted);
  });
}

test('every command explains itself, with every flag', async () => {
  for (const { name, flags } of commands) {
    const { code, out } = await run(`${name} --help`);
    assert.equal(code, 0, name);
    for (const flag of Object.keys(flags)) assert.ok(out.includes(`--${flag}`), `${name} --${flag}`);
  }
});

test('bash completes commands, flags and their values', () => {
  const script = `${bashCompletion(commands)}
for line in "$@"; do
  read -ra COMP_WORDS <<<"$line"
  case "$line" in *" ") COMP_WORDS+=("") ;; esac
  COMP_CWORD=$((\${#COMP_WORDS[@]}-1))
  COMPREPLY=()
  _mesh
  echo "\${COMPREPLY[*]}"
done`;
  const completed = (...words: string[]): string[] =>
    execFileSync('bash', ['-c', script, 'bash', ...words], { encoding: 'utf8' })
      .split('\n')
      .slice(0, -1);
  assert.deepEqual(
    completed(
      'mesh mu',
      'mesh trust ',
      'mesh multicluster link east --t',
      'mesh install --output ',
      'mesh install --trust /somewhere --clus',
      'mesh install --trust ',
      'mesh completion z',
    ),
    ['multicluster', 'init show', '--timeout', 'yaml json', '--cluster', '', 'zsh'],
  );
});

test('a reader that has seen enough ends the command without a word', async () => {
  const main = new URL('main.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [main, 'trust', '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  const [errors] = await Promise.all([text(child.stderr), once(child, 'close')]);
  assert.equal(errors, '');
  assert.equal(child.exitCode, 141);
});
