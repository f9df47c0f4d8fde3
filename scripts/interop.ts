/**
 * The long form of the tests in interop/: foreign gRPC and WebSocket programs through two sidecars and a gateway, with
 * large numbers. Takes minutes; `npm test` runs the same cases with small ones.
 */
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const flags = ['--test', '--test-reporter=spec', '--test-concurrency=1', '--test-timeout=1800000'];
const child = spawn(
  process.execPath,
  [...flags, ...process.argv.slice(2), join(root, 'interop/src/**/*.test.ts')],
  { cwd: root, stdio: 'inherit', env: { ...process.env, INTEROP_LONG: '1' } },
);
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
