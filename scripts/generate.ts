/**
 * Generates the TypeScript of packages/control-api/proto with buf and protoc-gen-es from node_modules, and the references
 * in docs/; no network.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
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

// Imported only now: the tables come from code that uses what was just generated.
const { references } = await import('./references.ts');
for (const [file, text] of references()) writeFileSync(join(root, file), text);
