/** HTTP/1 servers of Debian's packages as processes on loopback, each with a configuration of its own. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { eventually } from '@mesh/testkit/eventually';

interface Place {
  /** Where the server writes what it needs; removed afterwards. */
  readonly directory: string;
  readonly port: number;
  /** Of the origin that proxies forward to. */
  readonly origin: number;
}

export interface ForeignServer {
  readonly name: string;
  readonly command: string;
  /** Debian package that has the command. */
  readonly package: string;
  /** It answers itself, or asks an origin. */
  readonly kind: 'origin' | 'proxy';
  readonly versionArguments: readonly string[];
  /** Text of its configuration file. */
  configuration(place: Place): string;
  arguments(place: Place, file: string): string[];
}

const modules = '/usr/lib/apache2/modules';

export const foreignServers: readonly ForeignServer[] = [
  {
    name: 'nginx',
    command: 'nginx',
    package: 'nginx',
    kind: 'origin',
    versionArguments: ['-v'],
    configuration: ({ directory, port }) => `
      daemon off; master_process off; worker_processes 1;
      pid ${directory}/pid; error_log ${directory}/error.log;
      events { worker_connections 512; }
      http {
        access_log off; keepalive_requests 1000000; keepalive_timeout 60s; server_tokens off;
        client_body_temp_path ${directory}/body; proxy_temp_path ${directory}/proxy;
        fastcgi_temp_path ${directory}/fastcgi; uwsgi_temp_path ${directory}/uwsgi; scgi_temp_path ${directory}/scgi;
        server { listen 127.0.0.1:${port}; location / { return 200 "ok\\n"; } }
      }`,
    arguments: ({ directory }, file) => ['-e', `${directory}/error.log`, '-p', directory, '-c', file],
  },
  {
    name: 'haproxy',
    command: 'haproxy',
    package: 'haproxy',
    kind: 'proxy',
    versionArguments: ['-v'],
    configuration: ({ port, origin }) => `
global
  maxconn 512
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:${port}
  default_backend out
backend out
  server origin 127.0.0.1:${origin}
`,
    arguments: (_place, file) => ['-db', '-f', file],
  },
  {
    name: 'apache',
    command: 'apache2',
    package: 'apache2-bin',
    kind: 'origin',
    versionArguments: ['-v'],
    configuration: ({ directory, port }) => `
      ServerRoot ${directory}
      ServerName a
      PidFile ${directory}/pid
      ErrorLog ${directory}/error.log
      Mutex posixsem
      Listen 127.0.0.1:${port}
      LoadModule mpm_event_module ${modules}/mod_mpm_event.so
      LoadModule authz_core_module ${modules}/mod_authz_core.so
      User www-data
      Group www-data
      DocumentRoot ${directory}/www
      MaxKeepAliveRequests 0
      KeepAliveTimeout 60
      TraceEnable off
      StartServers 1
      ServerLimit 2`,
    arguments: (_place, file) => ['-DFOREGROUND', '-f', file],
  },
  {
    name: 'lighttpd',
    command: 'lighttpd',
    package: 'lighttpd',
    kind: 'origin',
    versionArguments: ['-v'],
    configuration: ({ directory, port }) => `
      server.document-root = "${directory}/www"
      server.bind = "127.0.0.1"
      server.port = ${port}
      server.errorlog = "${directory}/error.log"
      server.upload-dirs = ( "${directory}" )
      server.max-keep-alive-requests = 10000
      server.max-keep-alive-idle = 60
      index-file.names = ( "index.html" )`,
    arguments: (_place, file) => ['-D', '-f', file],
  },
  {
    name: 'varnish',
    command: 'varnishd',
    package: 'varnish',
    kind: 'proxy',
    versionArguments: ['-V'],
    configuration: ({ origin }) => `
      vcl 4.1;
      backend default { .host = "127.0.0.1"; .port = "${origin}"; }
      sub vcl_recv { return (pass); }`,
    arguments: ({ directory, port }, file) => [
      ...['-F', '-j', 'none', '-n', `${directory}/varnish`, '-s', 'malloc,16m', '-f', file],
      ...[
        '-a',
        `127.0.0.1:${port}`,
        '-p',
        'timeout_idle=60',
        '-p',
        'thread_pool_min=10',
        '-p',
        'vsl_space=8m',
      ],
    ],
  },
  {
    name: 'squid',
    command: 'squid',
    package: 'squid',
    kind: 'proxy',
    versionArguments: ['-v'],
    configuration: ({ directory, port, origin }) => `
      http_port 127.0.0.1:${port} accel defaultsite=a
      cache_peer 127.0.0.1 parent ${origin} 0 no-query no-digest no-netdb-exchange originserver name=origin
      http_access allow all
      cache deny all
      cache_mem 0 MB
      pid_filename ${directory}/pid
      access_log none
      cache_log ${directory}/cache.log
      netdb_filename none
      pinger_enable off
      coredump_dir ${directory}
      visible_hostname a
      shutdown_lifetime 0 seconds`,
    arguments: (_place, file) => ['-N', '-f', file],
  },
  {
    name: 'h2o',
    command: 'h2o',
    package: 'h2o',
    kind: 'origin',
    versionArguments: ['-v'],
    configuration: ({ directory, port }) => `
num-threads: 1
pid-file: ${directory}/pid
error-log: ${directory}/error.log
http1-request-timeout: 60
listen:
  host: 127.0.0.1
  port: ${port}
hosts:
  default:
    paths:
      /:
        file.dir: ${directory}/www
`,
    arguments: (_place, file) => ['-m', 'worker', '-c', file],
  },
  {
    name: 'nghttpx',
    command: 'nghttpx',
    package: 'nghttp2-proxy',
    kind: 'proxy',
    versionArguments: ['-v'],
    configuration: ({ directory, port, origin }) => `
frontend=127.0.0.1,${port};no-tls
backend=127.0.0.1,${origin}
workers=1
single-process=yes
errorlog-file=${directory}/error.log
frontend-read-timeout=60
`,
    arguments: (_place, file) => [`--conf=${file}`],
  },
];

const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;

export function isInstalled({ command }: ForeignServer): boolean {
  return path.split(':').some((folder) => existsSync(join(folder, command)));
}

/** First version number it says it has. */
export function versionOf({ command, versionArguments }: ForeignServer): string {
  const { stdout, stderr } = spawnSync(command, versionArguments, {
    encoding: 'utf8',
    env: { ...process.env, PATH: path },
  });
  return /\d+\.\d+(?:\.\d+)*/.exec(`${stdout}${stderr}`)?.[0] ?? 'unknown';
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const connected = await Promise.race([
    once(socket, 'connect').then(() => true),
    once(socket, 'error').then(() => false),
  ]).catch(() => false);
  socket.destroy();
  return connected;
}

/** Starts it; it ends with the test. Returns its port. */
export async function startForeignServer(
  test: TestContext,
  server: ForeignServer,
  origin: number,
): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), `mesh-${server.name}-`));
  // Some give up root and go on as a user of their own.
  chmodSync(directory, 0o777);
  mkdirSync(join(directory, 'www'));
  writeFileSync(join(directory, 'www', 'index.html'), 'ok\n');
  const place: Place = { directory, port: await freePort(), origin };
  const file = join(directory, 'configuration');
  writeFileSync(file, server.configuration(place));
  const child = spawn(server.command, server.arguments(place, file), {
    cwd: directory,
    env: { ...process.env, PATH: path },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  const keep = (chunk: Buffer): void => {
    said = (said + chunk.toString()).slice(-4000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const spawned = Promise.race([once(child, 'spawn'), once(child, 'error')]);
  test.after(async () => {
    await end(child);
    rmSync(directory, { recursive: true, force: true });
  });
  await spawned;
  await eventually(`${server.name} accepts connections`, () => accepts(place.port), {
    timeoutMs: 20_000,
  }).catch((error: unknown) => {
    const log = join(directory, 'error.log');
    throw new Error(
      `${server.name} did not start: ${said}${existsSync(log) ? readFileSync(log, 'utf8') : ''}`,
      {
        cause: error,
      },
    );
  });
  return place.port;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
  await exited;
  clearTimeout(timer);
}
