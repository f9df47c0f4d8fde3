/** linkerd2-proxy, when LINKERD2_PROXY names its program; on the same control plane as our own proxies. One core. */
import { generateKeyPairSync } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCsr } from '@mesh/trust/csr';
import { controlPlaneIdentity } from '@mesh/trust/names';
import { controlPorts, hostAddress } from '../control-plane.ts';
import { proxyUid } from '../pod.ts';
import { namespace } from '../trust-material.ts';
import { type Contestant, type Hop, noGateway, proxyPorts, type Stage } from './contestant.ts';
import { startHop, writeConfiguration } from './start-hop.ts';

type Side = 'outbound' | 'inbound';

function environment(stage: Stage, side: Side): Record<string, string> {
  const { trust, scene, appPort, directory } = stage;
  const [pod, own] = side === 'outbound' ? [stage.client, trust.client] : [stage.server, trust.server];
  const { identityPort, destinationPort } = controlPorts.bench;
  const destination = `${hostAddress}:${destinationPort}`;
  const destinationName = controlPlaneIdentity('mesh-destination', 'bench');
  const token = join(directory, 'token');
  writeFileSync(token, 'bench', { mode: 0o644 });
  const workload = JSON.stringify({ ns: namespace, pod: pod.name });
  const settings = {
    OUTBOUND_LISTEN_ADDRS: `127.0.0.1:${proxyPorts.outbound}`,
    INBOUND_LISTEN_ADDR: `0.0.0.0:${proxyPorts.inbound}`,
    CONTROL_LISTEN_ADDR: '0.0.0.0:4190',
    ADMIN_LISTEN_ADDR: `0.0.0.0:${proxyPorts.admin}`,
    CORES: '1',
    DESTINATION_SVC_ADDR: destination,
    DESTINATION_SVC_NAME: destinationName,
    DESTINATION_CONTEXT: workload,
    DESTINATION_PROFILE_NETWORKS: '10.0.0.0/8',
    POLICY_SVC_ADDR: destination,
    POLICY_SVC_NAME: destinationName,
    POLICY_WORKLOAD: workload,
    POLICY_CLUSTER_NETWORKS: '10.0.0.0/8',
    INBOUND_DEFAULT_POLICY: 'cluster-authenticated',
    INBOUND_IPS: pod.address,
    INBOUND_PORTS: String(appPort),
    ...(scene.traffic === 'tcp' ? { INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION: String(appPort) } : {}),
    IDENTITY_DIR: identityDirectory(stage, side, own.identity),
    IDENTITY_TRUST_ANCHORS: trust.anchorsPem,
    IDENTITY_TOKEN_FILE: token,
    IDENTITY_LOCAL_NAME: own.identity,
    IDENTITY_SVC_ADDR: `${hostAddress}:${identityPort}`,
    IDENTITY_SVC_NAME: controlPlaneIdentity('mesh-identity', 'bench'),
  };
  return Object.fromEntries([
    ...Object.entries(settings).map(([name, value]) => [`LINKERD2_PROXY_${name}`, value]),
    ['LINKERD2_PROXY_LOG', 'warn'],
  ]) as Record<string, string>;
}

/** Key and signing request, which the proxy wants to find as files. */
function identityDirectory({ directory }: Stage, side: Side, identity: string): string {
  const folder = join(directory, `${side}-identity`);
  mkdirSync(folder);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const files = {
    'key.p8': privateKey.export({ type: 'pkcs8', format: 'der' }),
    'csr.der': createCsr(privateKey, identity),
  };
  for (const [name, bytes] of Object.entries(files)) {
    writeFileSync(join(folder, name), bytes, { mode: 0o600 });
    chownSync(join(folder, name), proxyUid, proxyUid);
  }
  chownSync(folder, proxyUid, proxyUid);
  return folder;
}

function start(program: string, stage: Stage, side: Side): Hop {
  const variables = environment(stage, side);
  const lines = Object.entries(variables).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  writeConfiguration(stage, `${side}.env`, `${lines.join('\n')}\n`);
  return startHop(stage, side, [program], variables);
}

/** @param program path; undefined when nobody named one */
export function linkerd(program: string | undefined): Contestant {
  return {
    name: 'linkerd',
    title: 'linkerd2-proxy',
    intercepted: true,
    declines: ({ gateway }) => (gateway ? noGateway : undefined),
    probe: () => {
      if (program === undefined) return { absent: 'LINKERD2_PROXY names no program' };
      if (!existsSync(program)) return { absent: `LINKERD2_PROXY=${program} does not exist` };
      // It tells its version in its log alone.
      return { version: '' };
    },
    start: (stage) => {
      if (program === undefined) return [];
      const sides: readonly Side[] = stage.scene.mtls ? ['outbound', 'inbound'] : ['outbound'];
      return sides.map((side) => start(program, stage, side));
    },
  };
}
