/** The proxy that one writes in an afternoon on Node's own HTTP modules: what ours must be worth it beside. */
import { join } from 'node:path';
import { type Contestant, type Hop, noGateway, proxyPorts, type Stage } from './contestant.ts';
import { startHop, writeConfiguration } from './start-hop.ts';
import type { NodeProxySettings } from './node-pair-settings.ts';

function start(stage: Stage, name: 'outbound' | 'inbound'): Hop {
  const { scene, endpoints, appPort, trust } = stage;
  const settings: NodeProxySettings =
    name === 'outbound'
      ? {
          traffic: scene.traffic,
          listen: { host: '127.0.0.1', port: proxyPorts.outbound },
          endpoints,
          ...(scene.mtls ? { dialTls: { ...trust.client, peer: trust.server.identity } } : {}),
        }
      : {
          traffic: scene.traffic,
          listen: { host: '0.0.0.0', port: proxyPorts.inbound },
          endpoints: [{ host: '127.0.0.1', port: appPort }],
          acceptTls: trust.server,
        };
  const file = writeConfiguration(stage, `${name}.json`, JSON.stringify(settings, null, 2));
  return startHop(stage, name, [process.execPath, join(import.meta.dirname, 'node-pair-main.ts'), file]);
}

export const nodePair: Contestant = {
  name: 'node',
  title: 'node:http2',
  intercepted: true,
  declines: ({ gateway }) => (gateway ? noGateway : undefined),
  probe: () => ({ version: process.versions.node }),
  start: (stage) => [start(stage, 'outbound'), ...(stage.scene.mtls ? [start(stage, 'inbound')] : [])],
};
