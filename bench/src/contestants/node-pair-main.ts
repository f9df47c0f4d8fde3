/**
 * A straightforward proxy on `node:http`, `node:http2`, `node:tls` and `node:net`: streams piped into each other, agents and
 * sessions kept alive, endpoints in turn. Argument: a file with NodeProxySettings.
 */
import { readFileSync } from 'node:fs';
import {
  Agent,
  createServer as createHttpServer,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http';
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer as createHttp2Server,
  createSecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import type { HostPort } from '@mesh/control-api/convert';
import type { NodeProxySettings } from './node-pair-settings.ts';

const settings = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as NodeProxySettings;
const { traffic, listen, endpoints, acceptTls, dialTls } = settings;

const acceptOptions =
  acceptTls === undefined
    ? undefined
    : {
        cert: readFileSync(acceptTls.chain),
        key: readFileSync(acceptTls.key),
        ca: readFileSync(acceptTls.anchors),
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: 'TLSv1.3' as const,
      };
const dialOptions =
  dialTls === undefined
    ? undefined
    : {
        cert: readFileSync(dialTls.chain),
        key: readFileSync(dialTls.key),
        ca: readFileSync(dialTls.anchors),
        servername: dialTls.peer,
        minVersion: 'TLSv1.3' as const,
      };

/** Node's own 64 KiB would slow large bodies down. */
const http2Window = { settings: { initialWindowSize: 1024 * 1024 } };

let turn = 0;
function nextEndpoint(): HostPort {
  const endpoint = endpoints[turn++ % endpoints.length];
  if (endpoint === undefined) throw new Error('the settings name no endpoint');
  return endpoint;
}

const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
const sessions = new Map<HostPort, ClientHttp2Session>();

function sessionTo(endpoint: HostPort): ClientHttp2Session {
  const known = sessions.get(endpoint);
  if (known !== undefined && !known.closed && !known.destroyed) return known;
  const origin = `${dialOptions === undefined ? 'http' : 'https'}://${endpoint.host}:${endpoint.port}`;
  const session = connectHttp2(origin, { ...dialOptions, ...http2Window });
  session.on('error', () => session.destroy());
  session.on('connect', () => session.setLocalWindowSize(4 * 1024 * 1024));
  sessions.set(endpoint, session);
  return session;
}

const connectionHeaders = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

function withoutConnectionHeaders(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !connectionHeaders.has(name) && !name.startsWith(':')),
  );
}

/** HTTP/1 in, HTTP/2 out. */
function http1ToHttp2(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { host, ...headers } = withoutConnectionHeaders(incoming.headers);
  const stream = sessionTo(nextEndpoint()).request({
    ...headers,
    ':method': incoming.method,
    ':path': incoming.url,
    ':authority': host,
  });
  stream.on('response', (received) => {
    if (outgoing.destroyed) return;
    outgoing.writeHead(Number(received[':status']), withoutConnectionHeaders(received));
    stream.pipe(outgoing);
  });
  stream.on('error', () => outgoing.destroy());
  incoming.pipe(stream);
}

/** HTTP/1 in and out. */
function http1ToHttp1(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { host, port } = nextEndpoint();
  const { method, url, headers } = incoming;
  const upstream = request({ host, port, agent, method, path: url, headers }, (response) => {
    outgoing.writeHead(response.statusCode ?? 502, response.headers);
    response.pipe(outgoing);
  });
  upstream.on('error', () => outgoing.destroy());
  incoming.pipe(upstream);
}

/** HTTP/2 in, HTTP/1 out. */
function http2ToHttp1(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const { host, port } = nextEndpoint();
  const upstream = request(
    {
      host,
      port,
      agent,
      method: String(headers[':method']),
      path: String(headers[':path']),
      headers: { ...withoutConnectionHeaders(headers), host: String(headers[':authority']) },
    },
    (response) => {
      if (stream.destroyed) return;
      stream.respond({
        ':status': response.statusCode ?? 502,
        ...withoutConnectionHeaders(response.headers),
      });
      response.pipe(stream);
    },
  );
  upstream.on('error', () => stream.destroy());
  stream.on('error', () => upstream.destroy());
  stream.pipe(upstream);
}

/** HTTP/2 in and out, trailers too: gRPC. */
function http2ToHttp2(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const upstream = sessionTo(nextEndpoint()).request({
    ...withoutConnectionHeaders(headers),
    ':method': headers[':method'],
    ':path': headers[':path'],
    ':authority': headers[':authority'],
  });
  let trailers: IncomingHttpHeaders = {};
  upstream.on('response', (received, flags) => {
    if (stream.destroyed) return;
    if ((flags & 1) !== 0) {
      stream.respond(
        { ':status': received[':status'], ...withoutConnectionHeaders(received) },
        { endStream: true },
      );
      return;
    }
    stream.respond(
      { ':status': received[':status'], ...withoutConnectionHeaders(received) },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.destroyed || stream.sendTrailers(trailers));
    upstream.pipe(stream);
  });
  upstream.on('trailers', (received) => {
    trailers = received;
  });
  upstream.on('error', () => stream.destroy());
  stream.on('error', () => upstream.destroy());
  stream.pipe(upstream);
}

function pipeTcp(socket: Socket): void {
  const { host, port } = nextEndpoint();
  const upstream =
    dialOptions === undefined
      ? connectTcp({ host, port, noDelay: true })
      : connectTls({ host, port, ...dialOptions });
  for (const [from, to] of [
    [socket, upstream],
    [upstream, socket],
  ] as const) {
    from.on('error', () => to.destroy());
    from.pipe(to);
  }
}

const keptAlive = { keepAliveTimeout: 120_000, noDelay: true };

function server() {
  if (traffic === 'tcp') {
    return acceptOptions === undefined
      ? createTcpServer({ noDelay: true }, pipeTcp)
      : createTlsServer(acceptOptions, pipeTcp);
  }
  if (acceptOptions === undefined && traffic === 'http') {
    return createHttpServer(keptAlive, dialOptions === undefined ? http1ToHttp1 : http1ToHttp2);
  }
  const accepting =
    acceptOptions === undefined
      ? createHttp2Server(http2Window)
      : createSecureServer({ ...acceptOptions, ...http2Window });
  accepting.on('sessionError', () => {});
  accepting.on('stream', traffic === 'grpc' ? http2ToHttp2 : http2ToHttp1);
  return accepting;
}

server().listen(listen.port, listen.host);
