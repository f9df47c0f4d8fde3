/** Starts the control plane's process in the bench's own network, which every pod reaches. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ControlPlaneTable, ServedService } from './control-plane-table.ts';
import type { TrustMaterial } from './trust-material.ts';

export const controlAddress = { host: '10.210.0.1', identityPort: 8080, destinationPort: 8086 } as const;

export interface ControlPlane {
  stop(): void;
}

export async function startControlPlane(options: {
  trust: TrustMaterial;
  services: readonly ServedService[];
  directory: string;
}): Promise<ControlPlane> {
  const { trust, services, directory } = options;
  const table: ControlPlaneTable = {
    ...controlAddress,
    issuer: trust.issuerFiles,
    anchorsPem: trust.anchorsPem,
    services,
  };
  const file = join(directory, 'control-plane.json');
  writeFileSync(file, JSON.stringify(table, null, 2));
  const child = spawn(process.execPath, [join(import.meta.dirname, 'control-plane-main.ts'), file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const early = once(child, 'exit').then(() => {
    throw new Error('the control plane of the bench ended before it was ready');
  });
  early.catch(() => {});
  await Promise.race([once(child.stdout, 'data'), early]);
  return { stop: () => child.kill() };
}
