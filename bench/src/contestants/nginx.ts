/**
 * nginx from Debian, one worker. It speaks no HTTP/2 to servers, so that its pair has HTTP/1 between; gRPC is the exception,
 * for which it has a client of its own.
 */
import { join } from 'node:path';
import { type Contestant, type Hop, noGateway, proxyPorts, type Stage } from './contestant.ts';
import { programVersion } from './program-version.ts';
import { startHop, writeConfiguration } from './start-hop.ts';

interface Role {
  readonly listen: string;
  readonly upstream: readonly string[];
  /** TLS of the side that listens, and of the side that dials. */
  readonly serverTls: readonly string[];
  readonly clientTls: readonly string[];
}

function configuration({ scene, directory }: Stage, name: string, role: Role): string {
  const grpc = scene.traffic === 'grpc';
  const pass = grpc ? 'grpc' : 'proxy';
  const scheme = `${grpc ? 'grpc' : 'http'}${role.clientTls.length === 0 ? '' : 's'}`;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `  ${kind}_temp_path ${join(directory, `${name}-${kind}`)};`,
  );
  const location = grpc
    ? []
    : ['proxy_http_version 1.1;', 'proxy_set_header Connection "";', 'proxy_set_header Host $http_host;'];
  return `worker_processes 1;
daemon off;
pid ${directory}/${name}.pid;
error_log stderr warn;
worker_rlimit_nofile 8192;

events {
  worker_connections 4096;
  multi_accept on;
}

http {
${temporary.join('\n')}
  access_log off;
  tcp_nodelay on;
  # Connections live as long as the run.
  keepalive_requests 1000000000;
  keepalive_timeout 120s;
  client_body_buffer_size 128k;
  client_max_body_size 0;
  proxy_request_buffering off;
  # Bodies pass through memory alone.
  proxy_max_temp_file_size 0;
  proxy_buffer_size 16k;
  proxy_buffers 16 64k;
  proxy_busy_buffers_size 256k;

  upstream cart {
    random two least_conn;
${role.upstream.map((address) => `    server ${address} max_fails=0;`).join('\n')}
    keepalive 512;
    keepalive_requests 1000000000;
    keepalive_timeout 120s;
  }

  server {
    listen ${role.listen}${role.serverTls.length === 0 ? '' : ' ssl'}${grpc ? ' http2' : ''};
${role.serverTls.map((line) => `    ${line};\n`).join('')}
    location / {
      ${pass}_pass ${scheme}://cart;
${[...location, ...role.clientTls.map((line) => `${pass}_${line};`)].map((line) => `      ${line}\n`).join('')}    }
  }

  server {
    listen 0.0.0.0:${proxyPorts.admin};
    location / {
      stub_status;
    }
  }
}
`;
}

function start(stage: Stage, name: 'outbound' | 'inbound'): Hop {
  const { scene, endpoints, appPort, trust } = stage;
  const { client, server } = trust;
  const role: Role =
    name === 'outbound'
      ? {
          listen: `127.0.0.1:${proxyPorts.outbound}`,
          upstream: endpoints.map(({ host, port }) => `${host}:${port}`),
          serverTls: [],
          clientTls: scene.mtls
            ? [
                `ssl_certificate ${client.chain}`,
                `ssl_certificate_key ${client.key}`,
                `ssl_trusted_certificate ${client.anchors}`,
                'ssl_verify on',
                'ssl_verify_depth 2',
                `ssl_name ${server.identity}`,
                'ssl_server_name on',
                'ssl_protocols TLSv1.3',
                'ssl_session_reuse off',
              ]
            : [],
        }
      : {
          listen: `0.0.0.0:${proxyPorts.inbound}`,
          upstream: [`127.0.0.1:${appPort}`],
          serverTls: [
            `ssl_certificate ${server.chain}`,
            `ssl_certificate_key ${server.key}`,
            `ssl_client_certificate ${server.anchors}`,
            'ssl_verify_client on',
            'ssl_verify_depth 2',
            'ssl_protocols TLSv1.3',
            'ssl_session_tickets off',
          ],
          clientTls: [],
        };
  const file = writeConfiguration(stage, `${name}.conf`, configuration(stage, name, role));
  return startHop(stage, name, ['nginx', '-e', 'stderr', '-p', stage.directory, '-c', file]);
}

export const nginx: Contestant = {
  name: 'nginx',
  title: 'nginx',
  intercepted: true,
  declines: ({ traffic, gateway }) =>
    traffic === 'tcp'
      ? 'its stream module is a package of its own and is not measured'
      : gateway
        ? noGateway
        : undefined,
  probe: () => programVersion(['nginx', '-v'], /nginx\/(\S+)/),
  start: (stage) => [start(stage, 'outbound'), ...(stage.scene.mtls ? [start(stage, 'inbound')] : [])],
};
