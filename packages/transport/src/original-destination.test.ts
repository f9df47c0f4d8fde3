import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { socketPair } from '@mesh/testkit/servers';
import { originalDestination } from './original-destination.ts';

test('a connection that nobody redirected has no original destination', async (context) => {
  const [client, server] = await socketPair(context);
  assert.equal(originalDestination(server), undefined);
  assert.equal(originalDestination(client), undefined);
  server.destroy();
  assert.equal(originalDestination(server), undefined);
});

/** A network of its own for the test: nothing of the machine's rules is touched. */
const inNamespace = ['--net', ...(process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']), '--'];

/** Why the real test cannot run here, or undefined. */
function whyNot(): string | undefined {
  const script = 'ip link set lo up && iptables -t nat -S OUTPUT';
  const probe = spawnSync('unshare', [...inNamespace, 'sh', '-c', script], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  if (probe.status === 0) return undefined;
  return `no network namespace with iptables: ${probe.error?.message ?? probe.stderr.trim()}`;
}

test('a redirected connection tells where it was going', { skip: whyNot() ?? false }, () => {
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
