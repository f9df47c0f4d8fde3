/** Opens sockets to endpoints: TCP, then mutual TLS when an identity is demanded. */
import { connect, type Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import type { CredentialStore } from '@mesh/trust/credentials';
import { dialTls } from '@mesh/trust/dial';
import { dataplaneLimits } from './limits.ts';

export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** Undefined: plaintext. */
  readonly identity: string | undefined;
  /** A gateway, which tells protocols apart by ALPN; sidecars look at the first bytes instead. */
  readonly gateway: boolean;
}

/** A connection could not be made; the message names the target and the cause. */
export class ConnectError extends Error {
  readonly timedOut: boolean;

  constructor(message: string, options: { timedOut: boolean; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.name = 'ConnectError';
    this.timedOut = options.timedOut;
  }
}

export interface Connector {
  /** Rejects with a ConnectError. The socket allows half-open use and has no delay. */
  connect(target: DialTarget, alpn: readonly string[]): Promise<Socket>;
}

export interface SocketConnectorOptions {
  clock: Clock;
  /** For targets with an identity; absent in programs that dial only plaintext. */
  credentials: CredentialStore;
  /** TCP connect and TLS handshake together. */
  timeoutMs: number;
  /** Suffix of trust domains. */
  suffix: string;
}

export class SocketConnector implements Connector {
  readonly #options: SocketConnectorOptions;

  constructor(options: SocketConnectorOptions) {
    this.#options = options;
  }

  async connect(target: DialTarget, alpn: readonly string[]): Promise<Socket> {
    const { clock, credentials, suffix, timeoutMs } = this.#options;
    const started = clock.now();
    const socket = await connectTcp(target, { clock, timeoutMs });
    if (target.identity === undefined) return socket;
    const left = Math.max(1, timeoutMs - (clock.now() - started));
    try {
      return await dialTls({
        socket,
        identity: target.identity,
        alpn: [...alpn],
        credentials,
        clock,
        timeoutMs: left,
        suffix,
      });
    } catch (thrown) {
      socket.destroy();
      throw new ConnectError(`${describeTarget(target)}: ${messageOf(thrown)}`, {
        timedOut: false,
        cause: thrown,
      });
    }
  }
}

/** Rejects with a ConnectError. */
export function connectTcp(
  target: DialTarget,
  { clock, timeoutMs }: { clock: Clock; timeoutMs: number },
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: target.host,
      port: target.port,
      noDelay: true,
      allowHalfOpen: true,
      keepAlive: true,
      keepAliveInitialDelay: dataplaneLimits.tcp_keep_alive_ms.default,
    });
    const onError = (fault: Error): void => {
      timer.cancel();
      reject(
        new ConnectError(`${describeTarget(target)}: ${messageOf(fault)}`, { timedOut: false, cause: fault }),
      );
    };
    const timer = clock.after(timeoutMs, () => {
      socket.removeListener('error', onError);
      socket.on('error', () => {});
      socket.destroy();
      reject(
        new ConnectError(`${describeTarget(target)}: no connection within ${timeoutMs} ms`, {
          timedOut: true,
        }),
      );
    });
    socket.once('error', onError);
    socket.once('connect', () => {
      timer.cancel();
      socket.removeListener('error', onError);
      resolve(socket);
    });
  });
}

function describeTarget({ host, port }: DialTarget): string {
  return `${host}:${port}`;
}

function messageOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : '';
  return thrown.message === '' ? code : thrown.message;
}
