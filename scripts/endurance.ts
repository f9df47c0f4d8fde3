/**
 * The long forms of tests that would take too long in `npm test` and `npm run e2e`: `npm run endurance -- SUBJECT`, with
 * further arguments for Node's runner or the program. Without a subject it lists them. What a test keeps of its long form is
 * written to bench/results; programs write their own.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describeMachine } from '../bench/src/machine.ts';
import { writeResults } from './endurance-results.ts';

const root = resolve(import.meta.dirname, '..');

/** Test file of each subject; ENDURANCE=1 makes it the long form. */
const subjects: Readonly<Record<string, string>> = {
  'rolling-restarts': 'e2e-multicluster/src/rolling-restarts.test.ts',
  'keep-alive': 'packages/dataplane/src/keep-alive-endurance.test.ts',
};

/** Those that are programs of their own, with arguments of their own. */
const programs: Readonly<Record<string, string>> = {
  attacks: 'interop/src/attacks/main.ts',
  churn: 'bench/src/churn/main.ts',
  'dead-peers': 'bench/src/dead-peers/main.ts',
  overload: 'bench/src/overload/main.ts',
};

const [subject = '', ...rest] = process.argv.slice(2);
const flags = ['--test', '--test-reporter=spec', '--test-timeout=7200000'];

function command(): string[] | undefined {
  const [file, program] = [subjects[subject], programs[subject]];
  if (program !== undefined) return [join(root, program), ...rest];
  return file === undefined ? undefined : [...flags, ...rest, join(root, file)];
}

const args = command();
if (args === undefined) {
  const known = [...Object.keys(subjects), ...Object.keys(programs)];
  process.stderr.write(`usage: npm run endurance -- ${known.join(' | ')}\n`);
  process.exitCode = 2;
} else {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-endurance-'));
  const figures = join(directory, 'figures.json');
  const machine = describeMachine(root);
  const date = new Date();
  const child = spawn(process.execPath, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ENDURANCE: '1', ENDURANCE_RESULT: figures },
  });
  child.on('exit', (code) => {
    const minutes = (Date.now() - date.getTime()) / 60_000;
    const run = { subject, date: date.toISOString(), minutes, machine, passed: code === 0 };
    writeResults(join(root, 'bench/results'), { run, figures });
    rmSync(directory, { recursive: true });
    process.exitCode = code ?? 1;
  });
}
