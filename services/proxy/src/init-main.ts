/** Redirects the TCP connections of the pod it runs in through the proxy, then exits. Needs CAP_NET_ADMIN. */
import { spawnSync } from 'node:child_process';
import { readConfig } from '@mesh/config/environment';
import { describeError, MeshError } from '@mesh/errors/mesh-error';
import { initConfig } from './init-config.ts';
import { renderRedirect } from './redirect-rules.ts';

const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;

function run(command: string, args: readonly string[], input: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    input,
    encoding: 'utf8',
    env: { ...process.env, PATH: path },
  });
  if (error !== undefined || status !== 0) {
    throw new MeshError('tool-failed', `${command} failed: ${error?.message ?? stderr.trim()}`, {
      remedy: 'The init container needs iptables in its image and the capabilities NET_ADMIN and NET_RAW.',
      cause: error,
    });
  }
  return stdout;
}

try {
  const config = readConfig(initConfig, process.env);
  const tool = config.MESH_INIT_IPTABLES;
  const rules = renderRedirect(
    {
      proxyUid: config.MESH_INIT_PROXY_UID,
      inboundPort: config.MESH_INIT_INBOUND_PORT,
      outboundPort: config.MESH_INIT_OUTBOUND_PORT,
      skipInboundPorts: [{ from: 4190, to: 4191 }, ...config.MESH_INIT_SKIP_INBOUND_PORTS],
      skipOutboundPorts: config.MESH_INIT_SKIP_OUTBOUND_PORTS,
      skipOutboundNetworks: config.MESH_INIT_SKIP_OUTBOUND_NETWORKS,
    },
    run(`${tool}-save`, ['-t', 'nat'], ''),
  );
  run(`${tool}-restore`, ['--noflush', '-w', '5'], rules);
  process.stdout.write(rules);
} catch (thrown) {
  process.stderr.write(`${describeError(thrown)}\n`);
  process.exitCode = 1;
}
