/**
 * Runs the scenarios over whole clusters, one file after the other, with Node's own runner. Arguments are passed on,
 * so `npm run e2e -- --test-name-pattern=unlink` works. As root and as an ordinary user.
 */
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import {
  assetsVariable,
  describeBinaries,
  findBinaries,
} from '../clusters/apiserver/src/kubernetes/binaries.ts';

const assets = process.env[assetsVariable] ?? '';
const servedBy = assets === '' ? 'the embedded API server' : describeBinaries(findBinaries(assets));
process.stdout.write(`The API of the clusters is served by ${servedBy}.\n`);

const root = resolve(import.meta.dirname, '..');
const flags = ['--test', '--test-reporter=spec', '--test-concurrency=1', '--test-timeout=240000'];
const child = spawn(
  process.execPath,
  [...flags, ...process.argv.slice(2), join(root, 'e2e-multicluster/src/**/*.test.ts')],
  { cwd: root, stdio: 'inherit' },
);
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
