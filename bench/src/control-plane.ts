/** Starts a cluster's control plane as a process in the bench's own network, which every pod reaches. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ControlPlaneTable, ServedService } from './control-plane-table.ts';
import type { Cluster, TrustMaterial } from './trust-material.ts';

/** Of the bench itself in its pods' network. */
export const hostAddress = '10.210.0.1';

export const controlPorts: Readonly<Record<Cluster, { identityPort: number; destinationPort: number }>> = {
  bench: { identityPort: 8080, destinationPort: 8086 },
  east: { identityPort: 9080, destinationPort: 9086 },
};

export interface ControlPlane {
  stop(): void;
}

export async function startControlPlane(options: {
  cluster: Cluster;
  trust: TrustMaterial;
  services: readonly ServedService[];
  inboundPolicy: ControlPlaneTable['inboundPolicy'];
  directory: string;
}): Promise<ControlPlane> {
  const { cluster, trust, services, inboundPolicy, directory } = options;
  const table: ControlPlaneTable = {
    cluster,
    host: hostAddress,
    ...controlPorts[cluster],
    issuer: trust.issuers[cluster],
    anchorsPem: trust.anchorsPem,
    inboundPolicy,
    services,
  };
  const file = join(directory, `control-plane-${cluster}.json`);
  writeFileSync(file, JSON.stringify(table, null, 2));
  const child = spawn(process.execPath, [join(import.meta.dirname, 'control-plane-main.ts'), file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const early = once(child, 'exit').then(() => {
    throw new Error(`the control plane of ${cluster} ended before it was ready`);
  });
  early.catch(() => {});
  await Promise.race([once(child.stdout, 'data'), early]);
  return { stop: () => child.kill() };
}
