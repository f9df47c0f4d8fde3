/** Certificates of the bench: one anchor, an issuer for each cluster, and leaves as files for the programs of others. */
import { chownSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Authority, createAnchor, createIssuer } from '@mesh/ca/authority';
import { issueCredentials } from '@mesh/ca/credentials';
import type { Clock } from '@mesh/clock/clock';
import { identityName } from '@mesh/trust/names';
import { proxyUid } from './pod.ts';

/** Where everything is, and, for the gateway, where its clients come from. */
export const clusters = ['bench', 'east'] as const;
export type Cluster = (typeof clusters)[number];
export const namespace = 'shop';

/** Paths of a workload's PEM files, readable by the proxy's user. */
export interface WorkloadFiles {
  readonly identity: string;
  /** Leaf and issuer. */
  readonly chain: string;
  readonly key: string;
  /** Chain and key in one file, as HAProxy wants it. */
  readonly both: string;
  readonly anchors: string;
}

export interface IssuerFiles {
  readonly certificate: string;
  readonly key: string;
}

export interface TrustMaterial {
  readonly anchorsPem: string;
  readonly issuers: Readonly<Record<Cluster, IssuerFiles>>;
  readonly client: WorkloadFiles;
  /** In the other cluster. */
  readonly peer: WorkloadFiles;
  readonly server: WorkloadFiles;
}

export function makeTrust(directory: string, clock: Clock): TrustMaterial {
  const anchor = createAnchor({ clock });
  const issuer = createIssuer({ anchor, cluster: 'bench', clock });
  const anchorsPem = anchor.certificatePem;
  const write = (name: string, text: string): string => {
    const file = join(directory, name);
    writeFileSync(file, text, { mode: 0o600 });
    chownSync(file, proxyUid, proxyUid);
    return file;
  };
  const anchors = write('anchors.pem', anchorsPem);
  const issuerFiles = (cluster: Cluster, { certificatePem, key }: Authority): IssuerFiles => ({
    certificate: write(`${cluster}-issuer.pem`, certificatePem),
    key: write(`${cluster}-issuer.key`, key.export({ type: 'pkcs8', format: 'pem' }).toString()),
  });
  const east = createIssuer({ anchor, cluster: 'east', clock });
  const files = (cluster: Cluster, serviceAccount: string): WorkloadFiles =>
    workloadFiles({
      issuer: cluster === 'east' ? east : issuer,
      anchorsPem,
      anchors,
      cluster,
      serviceAccount,
      clock,
      write,
    });
  return {
    anchorsPem,
    issuers: {
      bench: issuerFiles('bench', issuer),
      east: issuerFiles('east', east),
    },
    client: files('bench', 'frontend'),
    peer: files('east', 'peer'),
    server: files('bench', 'cart'),
  };
}

function workloadFiles(options: {
  issuer: Authority;
  anchorsPem: string;
  anchors: string;
  cluster: Cluster;
  serviceAccount: string;
  clock: Clock;
  write: (name: string, text: string) => string;
}): WorkloadFiles {
  const { issuer, anchorsPem, anchors, cluster, serviceAccount, clock, write } = options;
  const identity = identityName({ serviceAccount, namespace, cluster });
  const { chainPem, key } = issueCredentials({ issuer, anchorsPem, identity, clock });
  const keyPem = key.export({ type: 'pkcs8', format: 'pem' }).toString();
  return {
    identity,
    anchors,
    chain: write(`${serviceAccount}.pem`, chainPem),
    key: write(`${serviceAccount}.key`, keyPem),
    both: write(`${serviceAccount}-both.pem`, chainPem + keyPem),
  };
}
