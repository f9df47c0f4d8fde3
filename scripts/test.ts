/**
 * Runs every test of packages, services, clusters and scripts with Node's own runner; the scenarios over whole
 * clusters are `npm run e2e`. Arguments are passed on, so `npm test -- --test-name-pattern=tier` works.
 */
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const files = [
  'packages/*/src/**/*.test.ts',
  'services/*/src/**/*.test.ts',
  'clusters/*/src/**/*.test.ts',
  'charts/src/**/*.test.ts',
  'cli/src/**/*.test.ts',
  'bench/src/**/*.test.ts',
  'interop/src/**/*.test.ts',
  'fuzz/src/**/*.test.ts',
  'scripts/**/*.test.ts',
];
const flags = ['--test', '--test-reporter=spec', '--test-concurrency=2', '--test-timeout=180000'];
const child = spawn(
  process.execPath,
  [...flags, ...process.argv.slice(2), ...files.map((file) => join(root, file))],
  {
    cwd: root,
    stdio: 'inherit',
  },
);
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
