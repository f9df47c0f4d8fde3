import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { socketPair } from '@mesh/testkit/servers';
import { originalDestination } from './original-destination.ts';
import { inNamespace, whyNoNamespace } from './testing/namespace.ts';

test('a connection that nobody redirected has no original destination', async (context) => {
  const [client, server] = await socketPair(context);
  assert.equal(originalDestination(server), undefined);
  assert.equal(originalDestination(client), undefined);
  server.destroy();
  assert.equal(originalDestination(server), undefined);
});

test('a redirected connection tells where it was going', { skip: whyNoNamespace() ?? false }, () => {
  const script = [
    'ip link set lo up',
    'ip address add 10.96.0.7/32 dev lo',
    'iptables -t nat -A OUTPUT -p tcp -d 10.96.0.7 --dport 80 -j REDIRECT --to-ports 4140',
    `exec "${process.execPath}" "${join(import.meta.dirname, 'testing/redirected.ts')}"`,
  ].join(' && ');
  const run = spawnSync('unshare', [...inNamespace, 'sh', '-c', script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(run.status, 0, run.stderr);
  assert.deepEqual(JSON.parse(run.stdout), {
    redirected: { host: '10.96.0.7', port: 80 },
    overIpv6Socket: { host: '10.96.0.7', port: 80 },
    direct: null,
  });
});
