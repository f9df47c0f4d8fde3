/** Generates the TypeScript of packages/control-api/proto with buf and protoc-gen-es from node_modules; no network. */
import { spawnSync } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = join(root, 'node_modules', '.bin');
const path = `${bin}${delimiter}${process.env['PATH'] ?? ''}`;

for (const step of [['lint'], ['generate']]) {
  const { status } = spawnSync(join(bin, 'buf'), step, {
    cwd: join(root, 'packages', 'control-api'),
    env: { ...process.env, PATH: path },
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
}
