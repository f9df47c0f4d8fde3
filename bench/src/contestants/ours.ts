/** The mesh's own sidecars: the bundles that pods run, configured by their environment and a control plane. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cluster, namespace } from '../trust-material.ts';
import type { Contestant, Hop, Stage } from './contestant.ts';
import { startHop } from './start-hop.ts';

function sidecar(stage: Stage, name: Hop['name'], serviceAccount: string): Hop {
  const { control, directory, root, trust } = stage;
  const pod = name === 'outbound' ? stage.client : stage.server;
  const token = join(directory, 'token');
  writeFileSync(token, 'bench', { mode: 0o644 });
  return startHop(stage, name, [process.execPath, join(root, 'dist/proxy.js')], {
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
  });
}

export const ours: Contestant = {
  name: 'ours',
  title: 'mesh',
  modes: ['plain', 'mtls'],
  intercepted: true,
  probe: () =>
    existsSync(join(import.meta.dirname, '../../../dist/proxy.js'))
      ? { version: `Node ${process.versions.node}` }
      : { absent: 'dist/proxy.js is not built: npm run build' },
  start: (stage) =>
    stage.mode === 'plain'
      ? [sidecar(stage, 'outbound', 'frontend')]
      : [sidecar(stage, 'outbound', 'frontend'), sidecar(stage, 'inbound', 'cart')],
};
