/** Proof that a pair does what it is measured for: who shows no certificate of the anchors gets nothing. */
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock } from '@mesh/clock/clock';
import type { Contestant, Stage } from './contestants/contestant.ts';
import { grpcMessage, grpcPath } from './load/grpc-message.ts';

/** How long a stranger waits for an answer. */
const patienceMs = 1000;

/** @throws Error when a client without TLS, or with TLS and without a certificate, is answered by the application */
export async function proveClientCertificates(
  clock: Clock,
  contestant: Contestant,
  stage: Stage,
): Promise<void> {
  const { scene, server, appPort, trust } = stage;
  const address = { host: server.address, port: appPort };
  const alpn = scene.traffic === 'tcp' ? {} : { ALPNProtocols: ['h2'] };
  const strangers: readonly [what: string, dial: () => Socket][] = [
    ['without TLS', () => connectTcp(address)],
    [
      'without a certificate',
      () => connectTls({ ...address, servername: trust.server.identity, ca: trust.anchorsPem, ...alpn }),
    ],
  ];
  for (const [what, dial] of strangers) {
    // Between the proxies HTTP/1 is HTTP/2, too, except nginx's.
    const asks =
      scene.traffic === 'tcp' ? [askTcp] : scene.traffic === 'grpc' ? [askHttp2] : [askHttp1, askHttp2];
    for (const ask of asks) {
      if (await isAnswered(clock, dial(), ask)) {
        throw new Error(`${contestant.title} answers a client ${what} in ${scene.name}: nothing is measured`);
      }
    }
  }
}

/** Whether the application's answer to `question` comes back. */
type Ask = (socket: Socket, finish: (answered: boolean) => void) => void;

const askTcp: Ask = (socket, finish) => askBytes(socket, 'P', (text) => finish(text === 'P'));

const askHttp1: Ask = (socket, finish) =>
  askBytes(socket, 'GET / HTTP/1.1\r\nhost: cart\r\n\r\n', (text) => finish(text.startsWith('HTTP/1.1 200')));

function askBytes(socket: Socket, question: string, onAnswer: (text: string) => void): void {
  socket.on('data', (chunk: Buffer) => onAnswer(chunk.toString('latin1')));
  socket.on('close', () => onAnswer(''));
  socket.write(question);
}

const askHttp2: Ask = (socket, finish) => {
  const session = connectHttp2('http://cart', { createConnection: () => socket });
  session.on('error', () => finish(false));
  const stream = session.request({
    ':method': 'POST',
    ':path': grpcPath,
    'content-type': 'application/grpc',
  });
  stream.on('error', () => {});
  // A refusal of gRPC has status 200 and says so in the same headers.
  stream.on('response', (headers) =>
    finish(headers[':status'] === 200 && headers['grpc-status'] === undefined),
  );
  stream.end(grpcMessage);
};

function isAnswered(clock: Clock, socket: Socket, ask: Ask): Promise<boolean> {
  return new Promise((resolve) => {
    const finish = (answered: boolean): void => {
      timer.cancel();
      socket.destroy();
      resolve(answered);
    };
    // A session whose TLS fails does not always say so.
    const timer = clock.after(patienceMs, () => finish(false));
    socket.on('error', () => finish(false));
    ask(socket, finish);
  });
}
