/**
 * The long form of the differential run: every HTTP/1 vector through our forwarding path to eight servers of Debian's
 * packages, and the report of what they make of the same bytes without us. Takes minutes.
 */
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const flags = ['--test', '--test-reporter=spec', '--test-timeout=1800000'];
const child = spawn(
  process.execPath,
  [...flags, ...process.argv.slice(2), join(root, 'interop/src/differential.test.ts')],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, DIFFERENTIAL_REPORT: join(root, 'docs/differential.md') },
  },
);
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
