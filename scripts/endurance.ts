/**
 * The long forms of tests that would take too long in `npm test` and `npm run e2e`: `npm run endurance -- SUBJECT`, with
 * further arguments for Node's runner. Without a subject it lists them.
 */
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');

/** Test file of each subject; ENDURANCE=1 makes it the long form. */
const subjects: Readonly<Record<string, string>> = {
  'http1-attacks': 'packages/dataplane/src/http1-attacks.test.ts',
  'rolling-restarts': 'e2e-multicluster/src/rolling-restarts.test.ts',
  churn: 'services/proxy/src/churn.test.ts',
  'keep-alive': 'packages/dataplane/src/keep-alive-endurance.test.ts',
  overload: 'packages/dataplane/src/overload-endurance.test.ts',
};

const [subject = '', ...rest] = process.argv.slice(2);
const file = subjects[subject];
if (file === undefined) {
  process.stderr.write(`usage: npm run endurance -- ${Object.keys(subjects).join(' | ')}\n`);
  process.exitCode = 2;
} else {
  const flags = ['--test', '--test-reporter=spec', '--test-timeout=7200000'];
  const child = spawn(process.execPath, [...flags, ...rest, join(root, file)], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ENDURANCE: '1' },
  });
  child.on('exit', (code) => {
    process.exitCode = code ?? 1;
  });
}
