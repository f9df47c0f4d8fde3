/**
 * Sends vectors through our forwarding path to a foreign server and compares what we understood with what that server
 * did, counted on the wire between the two and at the origin behind it.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { rig, spec } from '@mesh/dataplane/testing/forwarding-rig';
import type { Vector } from '@mesh/http1/vectors/vector';
import { eventually } from '@mesh/testkit/eventually';
import { type CountingRelay, startCountingRelay, statusesOf } from './counting-relay.ts';
import { type RecordingOrigin, startRecordingOrigin } from './recording-origin.ts';
import { startTwoClusters } from './two-clusters.ts';

/** Longest wait for an answer that must come. */
const patienceMs = 5000;
/** After this long without a byte a server that may stay silent is taken to have said everything. */
const quietMs = 80;

/** Time for the server to close a connection that we closed. */
const lingerMs = 2000;

const canary = 'GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n';

/** A way from a client's bytes to a server's port. */
export interface Way {
  /** What the client dials. */
  readonly port: number;
  /** How long it takes until a client's leaving has reached the server. */
  readonly leavesMs: number;
  /** Requests that went on from here since `clear`; undefined where it cannot be seen. */
  forwarded(): number | undefined;
  clear(): void;
}

/** Codec, exchange, pool and codec in plain TCP. */
export async function forwarder(test: TestContext, target: number): Promise<Way> {
  let forwarded = 0;
  const { port, pool } = await rig(test, { onRequest: () => forwarded++ });
  pool.apply([spec(target)], { replace: true });
  return { port, leavesMs: 0, forwarded: () => forwarded, clear: () => (forwarded = 0) };
}

/** Two sidecars and a gateway: HTTP/1, then HTTP/2 twice, then HTTP/1. */
export async function mesh(test: TestContext, target: number): Promise<Way> {
  const { port } = await startTwoClusters(test, { app: target });
  return { port, leavesMs: quietMs / 2, forwarded: () => undefined, clear: () => {} };
}

export class Desync {
  readonly #origin: RecordingOrigin;
  readonly #relay: CountingRelay;
  readonly #serverPort: number;
  readonly #way: Way;
  /** Requests that the server may have seen since the start, and its answers. */
  #allowed = 0;
  #answered = 0;

  private constructor(origin: RecordingOrigin, relay: CountingRelay, serverPort: number, way: Way) {
    this.#origin = origin;
    this.#relay = relay;
    this.#serverPort = serverPort;
    this.#way = way;
  }

  /** `serve` starts the server, which may forward to the origin, and returns its port. */
  static async start(
    test: TestContext,
    serve: (test: TestContext, origin: number) => Promise<number>,
    between: (test: TestContext, target: number) => Promise<Way>,
  ): Promise<Desync> {
    const origin = await startRecordingOrigin(test);
    const serverPort = await serve(test, origin.port);
    const relay = await startCountingRelay(test, serverPort);
    return new Desync(origin, relay, serverPort, await between(test, relay.port));
  }

  /**
   * What went wrong when `vector` was sent through us, or undefined: the server may never see more requests than we
   * forwarded nor leave one that we hold for complete unanswered, and the next request gets exactly its own answer.
   */
  async through(vector: Vector): Promise<string | undefined> {
    this.#settle();
    const originBefore = this.#origin.requests;
    const hung = await this.#send(vector);
    if (vector.ends !== 'complete' && this.#way.leavesMs > 0) await pause(this.#way.leavesMs);
    // A head may have gone on before the rest of its message was refused or failed to come, or a refused tunnel left a
    // request behind it.
    const forwarded = this.#way.forwarded() ?? vector.sees.length + (vector.ends === 'complete' ? 0 : 1);
    this.#allowed += forwarded;
    if (forwarded === 0 && this.#relay.asked() !== '') return 'bytes of a refused message were forwarded';
    const wrong = this.#relay.asked() === '' ? undefined : await this.#sendCanary();
    // Some servers still answer a request that broke off, before they close. One connection is the next request's.
    await eventually('the server closes', () => this.#relay.open() <= 1, {
      timeoutMs: lingerMs,
      intervalMs: 1,
    }).catch(() => {});
    const answered = statusesOf(this.#relay.said()).length;
    const atOrigin = this.#origin.requests - originBefore;
    const counts = `we forwarded ${forwarded}, then one more; it answered ${answered}, the origin saw ${atOrigin}`;
    if (hung) return `no answer to a complete request: ${counts}`;
    if (answered > forwarded + 1 || atOrigin > forwarded + 1)
      return `more requests than we forwarded: ${counts}`;
    return wrong;
  }

  /** What came too late to be counted with its vector; undefined when all counts agree. */
  async finish(): Promise<string | undefined> {
    await pause(quietMs);
    this.#settle();
    if (this.#answered <= this.#allowed) return undefined;
    return `${this.#answered} answers to ${this.#allowed} requests`;
  }

  /** Statuses of the answers when `vector` is sent to the server itself, and ` x` when it closed the connection. */
  async direct(vector: Vector): Promise<string> {
    const client = await dial(this.#serverPort);
    client.socket.write(Buffer.from(vector.bytes, 'latin1'));
    let length = -1;
    for (let waited = 0; !client.closed() && waited < 6 * quietMs; waited += quietMs) {
      await Promise.race([client.gone, pause(quietMs)]);
      if (client.text().length === length && length > 0) break;
      length = client.text().length;
    }
    const statuses = statusesOf(client.text());
    if (statuses.length === 0 && client.text() !== '') statuses.push('0.9');
    if (client.closed()) statuses.push('x');
    client.socket.destroy();
    return statuses.join(' ') || '–';
  }

  /** True when an answer that was due did not come. */
  async #send(vector: Vector): Promise<boolean> {
    const client = await dial(this.#way.port);
    client.socket.write(Buffer.from(vector.bytes, 'latin1'));
    const due = vector.sees.length;
    const done = (): boolean => client.closed() || statusesOf(client.text()).length >= due;
    let hung = false;
    if (vector.ends === 'tunnel') await pause(quietMs);
    if (vector.ends === 'complete' || vector.ends === 'tunnel') {
      hung = !(await eventually(`${due} answers`, done, { timeoutMs: patienceMs, intervalMs: 1 }).catch(
        () => false,
      ));
    } else if (vector.ends === 'waits') {
      await pause(quietMs / 2);
    } else {
      hung = !(await Promise.race([client.gone.then(() => true), pause(patienceMs).then(() => false)]));
    }
    client.socket.destroy();
    return hung;
  }

  /** The next request, usually on the same connection to the server: what is wrong with its answer. */
  async #sendCanary(): Promise<string | undefined> {
    this.#allowed++;
    const client = await dial(this.#way.port);
    client.socket.write(canary);
    const whole = (): boolean => client.text().includes('\r\n\r\n') && client.text().endsWith('ok\n');
    const answered = await eventually('the answer', whole, { timeoutMs: patienceMs, intervalMs: 1 }).catch(
      () => false,
    );
    client.socket.destroy();
    const right = answered && statusesOf(client.text()).join() === '200';
    return right ? undefined : `the next request was answered: ${JSON.stringify(client.text())}`;
  }

  #settle(): void {
    this.#answered += statusesOf(this.#relay.said()).length + statusesOf(this.#relay.saidLate()).length;
    this.#relay.clear();
    this.#way.clear();
  }
}

interface Dialled {
  readonly socket: Socket;
  readonly text: () => string;
  readonly closed: () => boolean;
  readonly gone: Promise<unknown>;
}

async function dial(port: number): Promise<Dialled> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  let text = '';
  let closed = false;
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  socket.on('error', () => {});
  const gone = new Promise<void>((resolve) => {
    socket.on('close', () => {
      closed = true;
      resolve();
    });
  });
  await once(socket, 'connect');
  return { socket, text: () => text, closed: () => closed, gone };
}
