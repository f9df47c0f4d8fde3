/** Opens sockets to endpoints: TCP, then mutual TLS when an identity is demanded. */
import { connect, type Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import type { SyntheticReason } from '@mesh/http/synthetic';
import type { LimitLedger } from '@mesh/limits/limits';
import type { CredentialStore } from '@mesh/trust/credentials';
import {
  encodeTransportHeader,
  type SessionProtocol,
  transportHeaderAlpn,
} from '@mesh/transport/transport-header';
import { dialTls, TlsDialError } from '@mesh/trust/dial';
import { identityRefusals } from '@mesh/trust/refusal';
import { type DataplaneLimit, dataplaneLimits } from './limits.ts';

export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** Undefined: plaintext. */
  readonly identity: string | undefined;
  /** A gateway, which tells protocols apart by ALPN; sidecars look at the first bytes instead. */
  readonly gateway: boolean;
  /** Where the proxy beside it is dialled instead, and told `port` by a transport header; absent or 0: it is dialled itself. */
  readonly transportPort?: number;
}

/** Why there is no connection. `identity`: the other end did not prove the one that it must have. */
export type ConnectFaultKind = 'refused' | 'timeout' | 'identity';

/** What requests are told that found no endpoint because of it. */
export const connectCauses: Readonly<Record<ConnectFaultKind, SyntheticReason>> = {
  refused: 'failfast',
  timeout: 'connect-timeout',
  identity: 'identity-required',
};

/** A connection could not be made; the message names the target and the cause. */
export class ConnectError extends Error {
  readonly kind: ConnectFaultKind;

  constructor(message: string, options: { kind: ConnectFaultKind; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.name = 'ConnectError';
    this.kind = options.kind;
  }
}

export interface ConnectFault {
  readonly kind: ConnectFaultKind;
  readonly detail: string;
}

/** What a connector's rejection says. */
export function connectFault(thrown: unknown): ConnectFault {
  return {
    kind: thrown instanceof ConnectError ? thrown.kind : 'refused',
    detail: thrown instanceof Error ? thrown.message : String(thrown),
  };
}

export interface Connector {
  /**
   * Rejects with a ConnectError. The socket allows half-open use and has no delay.
   * @param session what will be spoken, for a transport header; absent for opaque bytes
   */
  connect(target: DialTarget, alpn: readonly string[], session?: SessionProtocol): Promise<Socket>;
}

export interface SocketConnectorOptions {
  clock: Clock;
  /** For targets with an identity; absent in programs that dial only plaintext. */
  credentials: CredentialStore;
  /** `connect_ms` is for TCP connect and TLS handshake together. */
  limits: LimitLedger<DataplaneLimit>;
  /** Suffix of trust domains. */
  suffix: string;
}

export class SocketConnector implements Connector {
  readonly #options: SocketConnectorOptions;

  constructor(options: SocketConnectorOptions) {
    this.#options = options;
  }

  async connect(target: DialTarget, alpn: readonly string[], session?: SessionProtocol): Promise<Socket> {
    const { clock, credentials, limits, suffix } = this.#options;
    const { connect_ms: timeoutMs } = limits.values;
    const onTimeout = (): void => limits.hit('connect_ms');
    const started = clock.now();
    const { identity, port, transportPort = 0 } = target;
    const dialled = transportPort === 0 ? target : { ...target, port: transportPort };
    const socket = await connectTcp(dialled, { clock, timeoutMs, onTimeout });
    if (identity === undefined) return socket;
    const left = Math.max(1, Math.round(timeoutMs - (clock.now() - started)));
    try {
      const secured = await dialTls({
        socket,
        identity,
        alpn: transportPort === 0 ? [...alpn] : [transportHeaderAlpn],
        credentials,
        clock,
        timeoutMs: left,
        suffix,
      });
      const header = { port, name: '', sessionProtocol: session, clientId: '', hops: 0 };
      if (transportPort !== 0) secured.write(encodeTransportHeader(header));
      return secured;
    } catch (thrown) {
      const kind = kindOf(thrown);
      if (kind === 'timeout') onTimeout();
      socket.destroy();
      throw new ConnectError(`${describeTarget(target)}: ${messageOf(thrown)}`, {
        kind,
        cause: thrown,
      });
    }
  }
}

/** Rejects with a ConnectError. */
export function connectTcp(
  target: DialTarget,
  { clock, timeoutMs, onTimeout }: { clock: Clock; timeoutMs: number; onTimeout?: () => void },
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
        new ConnectError(`${describeTarget(target)}: ${messageOf(fault)}`, { kind: 'refused', cause: fault }),
      );
    };
    const timer = clock.after(timeoutMs, () => {
      onTimeout?.();
      socket.removeListener('error', onError);
      socket.on('error', () => {});
      socket.destroy();
      reject(
        new ConnectError(`${describeTarget(target)}: no connection within ${timeoutMs} ms`, {
          kind: 'timeout',
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

function kindOf(thrown: unknown): ConnectFaultKind {
  if (!(thrown instanceof TlsDialError)) return 'refused';
  if (thrown.reason === 'timeout') return 'timeout';
  return thrown.reason in identityRefusals ? 'identity' : 'refused';
}

function describeTarget({ host, port }: DialTarget): string {
  return `${host}:${port}`;
}

function messageOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : '';
  return thrown.message === '' ? code : thrown.message;
}
