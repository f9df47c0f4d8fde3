import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { listening } from '@mesh/testkit/servers';
import { sidecarSettings, startCluster } from './testing/mesh.ts';

test('a sidecar that cannot have all of its ports is over, whichever it is', async (context) => {
  const cluster = await startCluster(context);
  const taken = await listening(context, createServer());
  const settings = sidecarSettings(cluster, { serviceAccount: 'web', tokenFile: '/dev/null' });
  const ends = ['MESH_OUTBOUND_PORT', 'MESH_INBOUND_PORT', 'MESH_ADMIN_PORT'].map(async (name) => {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
      env: { ...settings, [name]: String(taken) },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 30_000,
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    assert.deepEqual(await once(child, 'close'), [1, null], name);
    assert.match(said, /EADDRINUSE/);
  });
  await Promise.all(ends);
});
