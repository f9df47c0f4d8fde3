/**
 * Calls to one control-plane service over mutual TLS, and streams from it that are kept up.
 *
 * A stream that ends is asked for again with growing, jittered pauses. What it delivered before stays valid: losing the
 * control plane never takes anything away.
 */
import type {
  DescMessage,
  DescMethodServerStreaming,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import { backoffMs, type Clock, type Random, type Timer } from '@mesh/clock/clock';
import type { HostPort } from '@mesh/control-api/convert';
import { GrpcChannel, type RunningStream } from '@mesh/control-api/grpc-client';
import { grpcCode, grpcCodeName, type GrpcStatus } from '@mesh/control-api/status';
import { connectHttp2 } from '@mesh/http2/client';
import type { Logger } from '@mesh/telemetry/log';
import type { CredentialStore } from '@mesh/trust/credentials';
import { dialTls } from '@mesh/trust/dial';
import { keepAlive, signsOfLife } from './keep-alive.ts';
import { SharedTicker } from './shared-ticker.ts';
import type { PeerEnvironment } from './peer.ts';

const tickMs = 1000;
const keepAliveTimes = { silenceMs: 8000, roundTrips: 6, onlyBusy: false };
const connectTimeoutMs = 3000;
const retry = { baseMs: 100, capMs: 10_000, jitter: 0.1 };

export interface ControlChannelOptions {
  clock: Clock;
  random: Random;
  log: Logger;
  credentials: CredentialStore;
  http2Limits: PeerEnvironment['http2Limits'];
  address: HostPort;
  /** Which the service must prove. */
  serverIdentity: string;
  /** Suffix of trust domains. */
  suffix: string;
}

export interface KeptStreamHandler<Output extends DescMessage> {
  /** `first`: the first message of a stream, after the start or a reconnect. */
  onMessage(message: MessageShape<Output>, first: boolean): void;
  /** The server refused the question itself; it is not asked again. */
  onRejected(status: GrpcStatus): void;
  /**
   * The stream ended and is asked for again; what it said may grow old until the next message. `agoMs`: for how long that
   * has been so already, when what was said is from an earlier life of the program. `status`: what the stream ended with.
   */
  onInterrupted?(agoMs?: number, status?: GrpcStatus): void;
}

/** `package.Service/Method`. */
export function methodName({ parent, name }: Pick<DescMethodServerStreaming, 'parent' | 'name'>): string {
  return `${parent.typeName}/${name}`;
}

/** `permissionDenied: not this identity`. */
export function statusText({ code, message }: GrpcStatus): string {
  return message === '' ? grpcCodeName(code) : `${grpcCodeName(code)}: ${message}`;
}

/** Where streams of the control plane come from. */
export interface ControlStreams {
  /** Opens `method` and keeps it open until `cancel`. */
  keep<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodServerStreaming<Input, Output>,
    input: MessageInitShape<Input>,
    handler: KeptStreamHandler<Output>,
  ): RunningStream;
}

export class ControlChannel implements ControlStreams {
  readonly #options: ControlChannelOptions;
  readonly #channel: GrpcChannel;
  #wasConnected = false;
  #timer: Timer | undefined;
  #failures = 0;
  #closed = false;
  #connectFault = 'not connected yet';
  #streamFault = '';

  constructor(options: ControlChannelOptions) {
    this.#options = options;
    const { clock, credentials, address, serverIdentity, http2Limits, suffix } = options;
    const ticker = new SharedTicker(clock, tickMs);
    this.#channel = new GrpcChannel({
      clock,
      authority: `${address.host}:${address.port}`,
      connect: async () => {
        // Calls that are made before the first certificate wait for it rather than fail and be tried again later.
        await new Promise<void>((resolve) => credentials.whenPresent(resolve));
        try {
          const socket = await dialTls({
            host: address.host,
            port: address.port,
            identity: serverIdentity,
            alpn: [],
            credentials,
            clock,
            timeoutMs: connectTimeoutMs,
            suffix,
          });
          this.#connectFault = '';
          const onSilence = (): void => {
            this.#connectFault = `${address.host}:${address.port} went silent`;
          };
          const connection = connectHttp2(socket, { clock, limits: http2Limits });
          keepAlive(connection, { ticker, onSilence, ...signsOfLife(socket), ...keepAliveTimes });
          return connection;
        } catch (thrown) {
          this.#connectFault = thrown instanceof Error ? thrown.message : String(thrown);
          throw thrown;
        }
      },
    });
  }

  /** Why the last connect failed, or what the last stream ended with that did not speak since; empty when all is well. */
  get fault(): string {
    return this.#connectFault === '' ? this.#streamFault : this.#connectFault;
  }

  get connected(): boolean {
    return this.#channel.connected;
  }

  /** Whether the service was ever connected to: what it said then is still in use. */
  get wasConnected(): boolean {
    return this.#wasConnected;
  }

  /**
   * Connects without waiting for a call, as soon as there is a certificate, so that readiness can tell whether the
   * service can be reached and the first call finds a connection.
   */
  connectWhenPossible(): void {
    if (this.#closed) return;
    const { clock, random } = this.#options;
    const again = (): void => {
      if (this.#closed) return;
      this.#timer = clock.after(
        backoffMs(this.#failures++, random, retry),
        () => this.connectWhenPossible(),
        true,
      );
    };
    this.#channel.connect().then(() => {
      this.#wasConnected = true;
      this.#failures = 0;
    }, again);
  }

  keep<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodServerStreaming<Input, Output>,
    input: MessageInitShape<Input>,
    handler: KeptStreamHandler<Output>,
  ): RunningStream {
    const stream = new KeptStream(this.#options, {
      open: (callbacks) => this.#channel.serverStream(method, input, callbacks),
      handler,
      name: methodName(method),
      onMessage: () => {
        this.#wasConnected = true;
        this.#streamFault = '';
      },
      onFault: (fault) => {
        this.#streamFault = fault;
      },
    });
    stream.open();
    return stream;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#channel.close();
  }
}

interface StreamEvents<Output extends DescMessage> {
  onMessage(message: MessageShape<Output>): void;
  onEnd(status: GrpcStatus): void;
}

class KeptStream<Output extends DescMessage> implements RunningStream {
  readonly #options: ControlChannelOptions;
  readonly #facts: {
    open: (events: StreamEvents<Output>) => RunningStream;
    handler: KeptStreamHandler<Output>;
    name: string;
    onMessage: () => void;
    onFault: (fault: string) => void;
  };
  #running: RunningStream | undefined;
  #timer: Timer | undefined;
  #failures = 0;
  #cancelled = false;

  constructor(
    options: ControlChannelOptions,
    facts: {
      open: (events: StreamEvents<Output>) => RunningStream;
      handler: KeptStreamHandler<Output>;
      name: string;
      onMessage: () => void;
      onFault: (fault: string) => void;
    },
  ) {
    this.#options = options;
    this.#facts = facts;
  }

  open(): void {
    let first = true;
    this.#running = this.#facts.open({
      onMessage: (message) => {
        if (this.#cancelled) return;
        this.#failures = 0;
        this.#facts.onMessage();
        this.#facts.handler.onMessage(message, first);
        first = false;
      },
      onEnd: (status) => this.#ended(status),
    });
  }

  cancel(): void {
    this.#cancelled = true;
    this.#timer?.cancel();
    this.#running?.cancel();
  }

  #ended(status: GrpcStatus): void {
    if (this.#cancelled) return;
    this.#running = undefined;
    if (status.code === grpcCode.invalidArgument || status.code === grpcCode.failedPrecondition) {
      this.#facts.handler.onRejected(status);
      return;
    }
    const { clock, random, log } = this.#options;
    this.#facts.onFault(`${this.#facts.name} ended with ${statusText(status)}`);
    this.#facts.handler.onInterrupted?.(0, status);
    const waitMs = backoffMs(this.#failures++, random, retry);
    log.debug('control stream ended', {
      method: this.#facts.name,
      code: status.code,
      detail: status.message,
      retryInMs: Math.round(waitMs),
    });
    this.#timer = clock.after(waitMs, () => this.open(), true);
  }
}
