/**
 * A gRPC server by hand on node:http2, for what grpc-js does not do: look at compressed bits, answer compressed, and
 * misbehave as the method's name says.
 */
import { once } from 'node:events';
import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { decodePayload, encodePayload, payloadOf } from './grpc-payload.ts';

/** Field with the compressed bit of each message that came, as text of 0 and 1. */
export const flagsHeader = 'x-flags';
/** Field with the HTTP/2 error code that a scripted reset shall carry. */
export const codeHeader = 'x-code';
export const scriptedSizes = [31_415, 92_653];

export interface ScriptedGrpc {
  readonly port: number;
  /** Connections so far. */
  connections(): number;
  /** Most streams that were open at once on one connection. */
  mostStreams(): number;
  /** Endless streams that the client cancelled. */
  cancelled(): number;
  /** Acknowledged PINGs. */
  pongs(): number;
}

interface Call {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly messages: readonly { readonly compressed: boolean; readonly bytes: Buffer }[];
  readonly pong: () => void;
  readonly cancelled: () => void;
}

const frame = (bytes: Buffer, compressed: boolean): Buffer => {
  const head = Buffer.alloc(5);
  const sent = compressed ? gzipSync(bytes) : bytes;
  head[0] = compressed ? 1 : 0;
  head.writeUInt32BE(sent.length, 1);
  return Buffer.concat([head, sent]);
};

const answer = frame(encodePayload(payloadOf({}, scriptedSizes[0])), false);

/** Response head with trailers to follow when the body ends. */
function respond(stream: ServerHttp2Stream, trailers: Record<string, string> = {}, head = {}): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...head }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', ...trailers }));
}

const codeOf = ({ headers }: Call): number => Number(headers[codeHeader] ?? 0);

const scripts: Readonly<Record<string, (call: Call) => void>> = {
  Flags({ stream, messages }) {
    respond(stream, { [flagsHeader]: messages.map(({ compressed }) => (compressed ? '1' : '0')).join('') });
    const answers = messages.map(({ bytes }) => decodePayload(bytes).body.length);
    stream.end(frame(encodePayload(payloadOf({ answers })), false));
  },
  Compressed({ stream }) {
    respond(stream, {}, { 'grpc-encoding': 'gzip' });
    stream.end(frame(encodePayload(payloadOf({}, scriptedSizes[0])), true));
  },
  CompressedThenPlain({ stream }) {
    respond(stream, {}, { 'grpc-encoding': 'gzip' });
    stream.write(frame(encodePayload(payloadOf({}, scriptedSizes[0])), true));
    stream.end(frame(encodePayload(payloadOf({}, scriptedSizes[1])), false));
  },
  goaway({ stream }) {
    respond(stream);
    stream.end(answer);
    stream.session?.goaway(0, stream.id);
  },
  rst_after_header(call) {
    respond(call.stream);
    // The head is on its way before the reset is made.
    setImmediate(() => call.stream.close(codeOf(call)));
  },
  rst_during_data(call) {
    respond(call.stream);
    call.stream.write(answer.subarray(0, answer.length / 2), () => call.stream.close(codeOf(call)));
  },
  rst_after_data(call) {
    respond(call.stream);
    call.stream.write(answer, () => call.stream.close(codeOf(call)));
  },
  ping({ stream, pong }) {
    const { session } = stream;
    session?.ping(() => pong());
    respond(stream);
    stream.write(answer.subarray(0, 100), () => session?.ping(() => pong()));
    stream.end(answer.subarray(100));
  },
  StreamCoreMetrics({ stream, cancelled }) {
    respond(stream);
    const report = frame(encodePayload(payloadOf({}, 1)), false);
    const timer = setInterval(() => stream.write(report), 5);
    stream.on('close', () => {
      clearInterval(timer);
      if (stream.aborted) cancelled();
    });
  },
  max_streams({ stream }) {
    respond(stream);
    setTimeout(() => stream.end(answer), 5);
  },
};

function messagesOf(body: Buffer): Call['messages'] {
  const messages: { compressed: boolean; bytes: Buffer }[] = [];
  for (let at = 0; at + 5 <= body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    const compressed = body[at] === 1;
    const bytes = body.subarray(at + 5, end);
    messages.push({ compressed, bytes: compressed ? gunzipSync(bytes) : bytes });
    at = end;
  }
  return messages;
}

export async function startScriptedGrpc(
  test: TestContext,
  settings: { maxConcurrentStreams?: number } = {},
): Promise<ScriptedGrpc> {
  const sessions = new Set<ServerHttp2Session>();
  const counts = { connections: 0, mostStreams: 0, pongs: 0, cancelled: 0 };
  const server: Http2Server = createServer({ settings });
  server.on('sessionError', () => {});
  server.on('session', (session) => {
    counts.connections++;
    let open = 0;
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    session.on('error', () => {});
    session.on('stream', (stream, headers) => {
      counts.mostStreams = Math.max(counts.mostStreams, ++open);
      const chunks: Buffer[] = [];
      stream.on('error', () => {});
      stream.on('close', () => open--);
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const messages = messagesOf(Buffer.concat(chunks));
        scripts[String(headers[':path']).split('/').at(-1) ?? '']?.({
          stream,
          headers,
          messages,
          pong: () => counts.pongs++,
          cancelled: () => counts.cancelled++,
        });
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  test.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => counts.connections,
    mostStreams: () => counts.mostStreams,
    cancelled: () => counts.cancelled,
    pongs: () => counts.pongs,
  };
}

export const scriptPath = (script: string): string => `/mesh.interop.Scripted/${script}`;
