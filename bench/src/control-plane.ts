/** Starts a cluster's control plane as a process in the bench's own network, which every pod reaches. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { ControlPlaneTable, ServedService } from './control-plane-table.ts';
import { replaceFile } from './replace-file.ts';
import type { Cluster, TrustMaterial } from './trust-material.ts';

/** Of the bench itself in its pods' network. */
export const hostAddress = '10.210.0.1';

export const controlPorts: Readonly<Record<Cluster, { identityPort: number; destinationPort: number }>> = {
  bench: { identityPort: 8080, destinationPort: 8086 },
  east: { identityPort: 9080, destinationPort: 9086 },
};

/** What may change while it runs. */
export type TableChange = Partial<Pick<ControlPlaneTable, 'services' | 'anchorsPem' | 'policyRevision'>>;

export interface ControlPlane {
  /** Proxies hear of the difference. */
  change(change: TableChange): void;
  stop(): void;
}

export async function startControlPlane(options: {
  cluster: Cluster;
  trust: TrustMaterial;
  services: readonly ServedService[];
  inboundPolicy: ControlPlaneTable['inboundPolicy'];
  directory: string;
  leafLifetimeMs?: number;
}): Promise<ControlPlane> {
  const { cluster, trust, directory, ...rest } = options;
  let table: ControlPlaneTable = {
    cluster,
    host: hostAddress,
    ...controlPorts[cluster],
    issuer: trust.issuers[cluster],
    anchorsPem: trust.anchorsPem,
    ...rest,
  };
  const file = join(directory, `control-plane-${cluster}.json`);
  replaceFile(file, JSON.stringify(table, null, 2));
  const child = spawn(process.execPath, [join(import.meta.dirname, 'control-plane-main.ts'), file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const early = once(child, 'exit').then(() => {
    throw new Error(`the control plane of ${cluster} ended before it was ready`);
  });
  early.catch(() => {});
  await Promise.race([once(child.stdout, 'data'), early]);
  return {
    change(change) {
      table = { ...table, ...change };
      replaceFile(file, JSON.stringify(table, null, 2));
      child.kill('SIGHUP');
    },
    stop: () => child.kill(),
  };
}
