/** HAProxy from Debian, one thread. */
import { type Contestant, type Hop, noGateway, proxyPorts, type Stage } from './contestant.ts';
import { programVersion } from './program-version.ts';
import { startHop, writeConfiguration } from './start-hop.ts';

const pki = (both: string, anchors: string): string =>
  `ssl crt ${both} ca-file ${anchors} verify required ssl-min-ver TLSv1.3`;

function common({ scene }: Stage): string {
  const mode =
    scene.traffic === 'tcp'
      ? '  mode tcp'
      : '  mode http\n  # Idle connections to servers are shared by all clients.\n  http-reuse always';
  // Default: 16 KiB, the better choice for small messages. With 64 KiB splicing changed nothing when we tried it.
  const buffers = scene.large ? '\n  tune.bufsize 65536' : '';
  return `global
  nbthread 1
  maxconn 4000${buffers}
  # Default: 64 KiB on the way for each stream.
  tune.h2.initial-window-size 1048576

defaults
${mode}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 60s

frontend metrics
  bind 0.0.0.0:${proxyPorts.admin}
  mode http
  http-request use-service prometheus-exporter
`;
}

/** Two of the endpoints at random, then the less loaded one: what the mesh does, too. */
function outbound(stage: Stage): string {
  const { scene, endpoints, trust } = stage;
  const { client, server } = trust;
  // No TLS session is resumed: each connection proves both certificates, as ours do.
  const tls = scene.mtls
    ? ` ${pki(client.both, client.anchors)} no-ssl-reuse sni str(${server.identity}) verifyhost ${server.identity}` +
      (scene.traffic === 'tcp' ? '' : ' alpn h2')
    : '';
  return `${common(stage)}
frontend outbound
  bind 127.0.0.1:${proxyPorts.outbound}
  default_backend cart

backend cart
  balance random(2)
${endpoints.map(({ host, port }, index) => `  server app-${index} ${host}:${port}${tls}`).join('\n')}
`;
}

function inbound(stage: Stage): string {
  const { scene, appPort, trust } = stage;
  const { server } = trust;
  const verdict = scene.traffic === 'tcp' ? 'tcp-request content reject' : 'http-request deny';
  return `${common(stage)}
frontend inbound
  bind 0.0.0.0:${proxyPorts.inbound} ${pki(server.both, server.anchors)} no-tls-tickets${scene.traffic === 'tcp' ? '' : ' alpn h2'}
  # The policy check: only clients whose certificate was verified.
  ${verdict} unless { ssl_c_used } { ssl_c_verify 0 }
  default_backend app

backend app
  server app 127.0.0.1:${appPort}${scene.traffic === 'grpc' ? ' proto h2' : ''}
`;
}

function start(stage: Stage, name: 'outbound' | 'inbound', configuration: string): Hop {
  const file = writeConfiguration(stage, `${name}.cfg`, configuration);
  return startHop(stage, name, ['haproxy', '-db', '-f', file]);
}

export const haproxy: Contestant = {
  name: 'haproxy',
  title: 'HAProxy',
  intercepted: true,
  declines: ({ gateway }) => (gateway ? noGateway : undefined),
  probe: () => programVersion(['haproxy', '-v'], /version (\S+)/),
  start: (stage) => [
    start(stage, 'outbound', outbound(stage)),
    ...(stage.scene.mtls ? [start(stage, 'inbound', inbound(stage))] : []),
  ],
};
