/** The mesh's own sidecars: the bundles that pods run, configured by their environment and a control plane. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dataPlaneEnvironment, dataPlaneFlags } from '@mesh/charts/program-command';
import { multiclusterNamespace } from '@mesh/trust/names';
import { controlPorts, hostAddress } from '../control-plane.ts';
import type { Pod } from '../pod.ts';
import { type Cluster, namespace } from '../trust-material.ts';
import { type Contestant, type Hop, type HopName, inboundPolicyOf, type Stage } from './contestant.ts';
import { startHop, writeConfiguration } from './start-hop.ts';

/** What every program of ours in `pod` is told. */
function workloadEnvironment(
  { directory, trust }: Stage,
  pod: Pod,
  { cluster, serviceAccount }: { cluster: Cluster; serviceAccount: string },
): Record<string, string> {
  const token = join(directory, 'token');
  writeFileSync(token, 'bench', { mode: 0o644 });
  const { identityPort, destinationPort } = controlPorts[cluster];
  return {
    ...dataPlaneEnvironment,
    MESH_CLUSTER: cluster,
    MESH_TRUST_DOMAIN: `${cluster}.mesh.local`,
    MESH_TRUST_ANCHORS: trust.anchorsPem,
    MESH_IDENTITY_ADDR: `${hostAddress}:${identityPort}`,
    MESH_TRUST_BUNDLE_ADDR: `${hostAddress}:${identityPort}`,
    MESH_DESTINATION_ADDR: `${hostAddress}:${destinationPort}`,
    MESH_POLICY_ADDR: `${hostAddress}:${destinationPort}`,
    MESH_TOKEN_FILE: token,
    MESH_SERVICE_ACCOUNT: serviceAccount,
    MESH_NAMESPACE: namespace,
    MESH_POD_NAME: pod.name,
    MESH_POD_IP: pod.address,
  };
}

/** Settings of the client's sidecar in `pod`. */
export function clientEnvironment(stage: Stage, pod: Pod): Record<string, string> {
  const cluster = stage.scene.gateway ? 'east' : 'bench';
  return { ...workloadEnvironment(stage, pod, { cluster, serviceAccount: 'frontend' }), ...stage.settings };
}

/** Of Node and the program, from the repository's root. */
type Command = readonly string[];

const bundledSidecar: Command = [...dataPlaneFlags, 'dist/proxy.js'];
const bundledGateway: Command = [...dataPlaneFlags, 'dist/gateway.js'];

function start(stage: Stage, name: HopName, command: Command, environment: Record<string, string>): Hop {
  const lines = Object.entries(environment).map(([setting, value]) => `${setting}=${JSON.stringify(value)}`);
  writeConfiguration(stage, `${name}.env`, `# node ${command.join(' ')}\n${lines.join('\n')}\n`);
  const program = join(stage.root, command.at(-1) ?? '');
  return startHop(stage, name, [process.execPath, ...command.slice(0, -1), program], environment);
}

function outbound(stage: Stage, command = bundledSidecar): Hop {
  return start(stage, 'outbound', command, clientEnvironment(stage, stage.client));
}

/** Its policy makes it check each client's identity. */
function inbound(stage: Stage, command = bundledSidecar): Hop {
  return start(stage, 'inbound', command, {
    ...workloadEnvironment(stage, stage.server, { cluster: 'bench', serviceAccount: 'cart' }),
    MESH_INBOUND_PORTS: String(stage.appPort),
    MESH_INBOUND_DEFAULT_POLICY: inboundPolicyOf(stage.scene),
    ...stage.settings,
  });
}

function probe(): { version: string } | { absent: string } {
  return existsSync(join(import.meta.dirname, '../../../dist/proxy.js'))
    ? { version: `on Node ${process.versions.node}` }
    : { absent: 'dist/proxy.js is not built: npm run build' };
}

export const ours: Contestant = {
  name: 'ours',
  title: 'mesh',
  intercepted: true,
  declines: ({ gateway }) => (gateway ? 'measured for each number of workers' : undefined),
  probe,
  start: (stage) => [outbound(stage), ...(stage.scene.mtls ? [inbound(stage)] : [])],
};

/** The same from its sources, whose functions a profile can name. `flags`: more of Node's. */
export function oursFromSources(flags: (stage: Stage) => readonly string[]): Contestant {
  const command = (stage: Stage): Command => [
    ...dataPlaneFlags,
    ...flags(stage),
    'services/proxy/src/main.ts',
  ];
  return {
    ...ours,
    start: (stage) => [
      outbound(stage, command(stage)),
      ...(stage.scene.mtls ? [inbound(stage, command(stage))] : []),
    ],
  };
}

/** In the middle of the stage, with so many processes. */
export function startGateway(stage: Stage, workers: number): Hop {
  const pod = stage.middle ?? stage.server;
  return start(stage, 'gateway', bundledGateway, {
    ...workloadEnvironment(stage, pod, { cluster: 'bench', serviceAccount: 'mesh-gateway' }),
    MESH_NAMESPACE: multiclusterNamespace,
    MESH_WORKERS: String(workers),
  });
}

/** Sidecar, gateway and sidecar, with so many processes of the gateway. */
export function oursWithGateway(workers: number): Contestant {
  return {
    name: `ours-gateway-${workers}`,
    title: `mesh, gateway with ${workers} ${workers === 1 ? 'worker' : 'workers'}`,
    intercepted: true,
    declines: ({ gateway }) => (gateway ? undefined : 'has a gateway on the way'),
    probe,
    start: (stage) => [outbound(stage), startGateway(stage, workers), inbound(stage)],
  };
}
