/** HAProxy from Debian, one thread. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Contestant, type Hop, ports, type Stage } from './contestant.ts';
import { programVersion } from './program-version.ts';
import { startHop } from './start-hop.ts';

const common = `global
  nbthread 1
  maxconn 4000

defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 60s
  # Idle connections to the application are shared by all clients.
  http-reuse always

frontend metrics
  bind 0.0.0.0:${ports.admin}
  http-request use-service prometheus-exporter
`;

/** Two of the endpoints at random, then the less loaded one: what the mesh does, too. */
function outbound({ mode, server, trust }: Stage): string {
  const { client, server: peer } = trust;
  const tls =
    mode === 'plain'
      ? ''
      : ` ssl crt ${client.both} ca-file ${client.anchors} verify required` +
        ` sni str(${peer.identity}) verifyhost ${peer.identity} alpn h2 ssl-min-ver TLSv1.3`;
  const endpoints = ports.http.map((port) => `  server app-${port} ${server.address}:${port}${tls}`);
  return `${common}
frontend outbound
  bind 127.0.0.1:${ports.outbound}
  default_backend cart

backend cart
  balance random(2)
${endpoints.join('\n')}
`;
}

function inbound({ trust }: Stage): string {
  const { server } = trust;
  return `${common}
frontend inbound
  bind 0.0.0.0:${ports.inbound} ssl crt ${server.both} ca-file ${server.anchors} verify required alpn h2 ssl-min-ver TLSv1.3
  # The policy check: only clients whose certificate was verified.
  http-request deny unless { ssl_c_used } { ssl_c_verify 0 }
  default_backend app

backend app
  server app 127.0.0.1:${ports.http[0]}
`;
}

function start(stage: Stage, name: Hop['name'], configuration: string): Hop {
  const file = join(stage.directory, `haproxy-${stage.mode}-${name}.cfg`);
  writeFileSync(file, configuration, { mode: 0o644 });
  return startHop(stage, name, ['haproxy', '-db', '-f', file]);
}

export const haproxy: Contestant = {
  name: 'haproxy',
  title: 'HAProxy',
  modes: ['plain', 'mtls'],
  intercepted: true,
  probe: () => programVersion(['haproxy', '-v'], /version (\S+)/),
  start: (stage) =>
    stage.mode === 'plain'
      ? [start(stage, 'outbound', outbound(stage))]
      : [start(stage, 'outbound', outbound(stage)), start(stage, 'inbound', inbound(stage))],
};
