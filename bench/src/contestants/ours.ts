/** The mesh's own sidecars: the bundles that pods run, configured by their environment and a control plane. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from '../pod.ts';
import { cluster, namespace } from '../trust-material.ts';
import type { Contestant, Hop, Stage } from './contestant.ts';
import { startHop, writeConfiguration } from './start-hop.ts';

/** Settings of a sidecar in `pod`; the default policy makes it check each client's identity. */
export function sidecarEnvironment(
  { control, directory, trust }: Stage,
  pod: Pod,
  serviceAccount: string,
): Record<string, string> {
  const token = join(directory, 'token');
  writeFileSync(token, 'bench', { mode: 0o644 });
  return {
    MESH_CLUSTER: cluster,
    MESH_TRUST_DOMAIN: `${cluster}.mesh.local`,
    MESH_TRUST_ANCHORS: trust.anchorsPem,
    MESH_IDENTITY_ADDR: `${control.host}:${control.identityPort}`,
    MESH_DESTINATION_ADDR: `${control.host}:${control.destinationPort}`,
    MESH_TOKEN_FILE: token,
    MESH_SERVICE_ACCOUNT: serviceAccount,
    MESH_NAMESPACE: namespace,
    MESH_POD_NAME: pod.name,
    MESH_POD_IP: pod.address,
    MESH_INBOUND_DEFAULT_POLICY: 'cluster-authenticated',
  };
}

function sidecar(stage: Stage, name: 'outbound' | 'inbound', serviceAccount: string): Hop {
  const pod = name === 'outbound' ? stage.client : stage.server;
  const environment = sidecarEnvironment(stage, pod, serviceAccount);
  const lines = Object.entries(environment).map(([setting, value]) => `${setting}=${JSON.stringify(value)}`);
  writeConfiguration(stage, `${name}.env`, `${lines.join('\n')}\n`);
  return startHop(stage, name, [process.execPath, join(stage.root, 'dist/proxy.js')], environment);
}

export const ours: Contestant = {
  name: 'ours',
  title: 'mesh',
  intercepted: true,
  declines: () => undefined,
  probe: () =>
    existsSync(join(import.meta.dirname, '../../../dist/proxy.js'))
      ? { version: `Node ${process.versions.node}` }
      : { absent: 'dist/proxy.js is not built: npm run build' },
  start: (stage) => [
    sidecar(stage, 'outbound', 'frontend'),
    ...(stage.scene.mtls ? [sidecar(stage, 'inbound', 'cart')] : []),
  ],
};
