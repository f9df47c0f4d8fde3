import { readFileSync, statSync } from 'node:fs';
import {
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Clock } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import type { LimitLedger } from '@mesh/limits/limits';
import { KubeApiError } from './api-error.ts';
import type { KubeConfig } from './config.ts';
import { type ExecCredential, ExecCredentials } from './exec-plugin.ts';
import type { KubeLimit } from './limits.ts';

export interface TransportRequest {
  method: string;
  /** Path and query. */
  path: string;
  body?: string | undefined;
  contentType?: string | undefined;
  accept?: string | undefined;
  signal?: AbortSignal | undefined;
  /** Until the answer is complete (`send`) or its head is here (`open`). */
  timeoutMs?: number | undefined;
}

export interface TransportResponse {
  status: number;
  headers: IncomingMessage['headers'];
  body: string;
}

type OnResponse<Result> = (
  response: IncomingMessage,
  resolve: (result: Result) => void,
  fail: (thrown: unknown) => void,
) => void;

/** HTTP to one API server: credentials, keep-alive, time-outs and size limits; knows nothing of Kubernetes objects. */
export class Transport {
  readonly #config: KubeConfig;
  readonly #clock: Clock;
  readonly #limits: LimitLedger<KubeLimit>;
  readonly #base: URL;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #plugin: ExecCredentials | undefined;
  #token: { stamp: string; value: string } | undefined;

  constructor(config: KubeConfig, clock: Clock, limits: LimitLedger<KubeLimit>) {
    this.#config = config;
    this.#clock = clock;
    this.#limits = limits;
    this.#base = new URL(config.server);
    const options = { keepAlive: true, maxFreeSockets: 4, scheduling: 'lifo' as const };
    this.#agent = this.#base.protocol === 'http:' ? new HttpAgent(options) : new HttpsAgent(options);
    this.#plugin =
      config.exec === undefined
        ? undefined
        : new ExecCredentials(config.exec, {
            clock,
            limits,
            environment: process.env,
            interactive: process.stdin.isTTY === true,
          });
  }

  /** Closes kept connections, and breaks those in use. */
  close(): void {
    this.#agent.destroy();
  }

  /**
   * One request and its whole answer, whatever its status.
   * @throws MeshError kube-unreachable, kube-limit, credential-plugin; the signal's reason when aborted
   */
  async send(request: TransportRequest): Promise<TransportResponse> {
    const most = this.#limits.values.kube_response_bytes;
    return await this.#start(request, (response, resolve, fail) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > most) {
          this.#limits.hit('kube_response_bytes');
          fail(
            new MeshError('kube-limit', `${describe(request)}: answer is larger than ${most} bytes`, {
              remedy: 'Ask for smaller pages (limit) or fewer objects (selectors).',
            }),
          );
          return;
        }
        chunks.push(chunk);
      });
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString('utf8'),
        }),
      );
      response.on('close', () => {
        if (!response.complete) fail(new Error('connection closed within the answer'));
      });
    });
  }

  /**
   * Starts a streaming answer; the caller owns the response from then on and must read or destroy it.
   * @throws KubeApiError when the status is not 2xx; otherwise as `send`
   */
  async open(request: TransportRequest): Promise<IncomingMessage> {
    const response = await this.#start<IncomingMessage | TransportResponse>(
      request,
      (incoming, resolve, fail) => {
        const status = incoming.statusCode ?? 0;
        if (status >= 200 && status < 300) {
          resolve(incoming);
          return;
        }
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => {
          if (chunks.length < 64) chunks.push(chunk);
        });
        incoming.on('end', () =>
          resolve({ status, headers: incoming.headers, body: Buffer.concat(chunks).toString('utf8') }),
        );
        incoming.on('close', () => {
          if (!incoming.complete) fail(new Error('connection closed within the answer'));
        });
      },
    );
    if (!('status' in response)) return response;
    throw new KubeApiError({
      ...response,
      request: describe(request),
      retryAfter: response.headers['retry-after'],
    });
  }

  async #start<Result>(request: TransportRequest, onResponse: OnResponse<Result>): Promise<Result> {
    const { signal } = request;
    if (this.#plugin === undefined || signal?.aborted === true)
      return await this.#exchange(request, onResponse);
    const credential = await this.#plugin.get();
    return await this.#exchange(
      request,
      (response, resolve, fail) => {
        if (response.statusCode === 401) this.#plugin?.rejected(credential);
        onResponse(response, resolve, fail);
      },
      credential,
    );
  }

  #exchange<Result>(
    request: TransportRequest,
    onResponse: OnResponse<Result>,
    credential?: ExecCredential,
  ): Promise<Result> {
    const { signal, timeoutMs = this.#limits.values.kube_request_ms } = request;
    return new Promise<Result>((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const outgoing = (this.#base.protocol === 'http:' ? httpRequest : httpsRequest)(
        this.#options(request, credential),
      );
      let answered = false;
      let settled = false;
      const settle = (): void => {
        settled = true;
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
      };
      const fail = (thrown: unknown): void => {
        settle();
        reject(thrown instanceof MeshError ? thrown : unreachable(request, this.#config, thrown));
        outgoing.destroy();
      };
      const onAbort = (): void => {
        settle();
        reject(signal?.reason);
        outgoing.destroy();
      };
      const timer = this.#clock.after(
        timeoutMs,
        () => {
          this.#limits.hit('kube_request_ms');
          fail(new Error(`no answer within ${timeoutMs} ms`));
        },
        true,
      );
      signal?.addEventListener('abort', onAbort, { once: true });
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        if (settled) return;
        // the server closed the kept connection as we chose it; a read may be asked again on a new one
        if (outgoing.reusedSocket && request.method === 'GET' && error.code === 'ECONNRESET' && !answered) {
          settle();
          resolve(this.#exchange(request, onResponse, credential));
          return;
        }
        fail(error);
      });
      outgoing.on('response', (response) => {
        answered = true;
        response.on('error', fail);
        onResponse(
          response,
          (result) => {
            settle();
            resolve(result);
          },
          fail,
        );
      });
      outgoing.end(request.body);
    });
  }

  #options(
    { method, path, body, contentType, accept }: TransportRequest,
    credential: ExecCredential | undefined,
  ): RequestOptions {
    const headers: Record<string, string> = {
      host: this.#base.host,
      accept: accept ?? 'application/json',
      'user-agent': 'mesh',
    };
    if (body !== undefined) {
      headers['content-type'] = contentType ?? 'application/json';
      headers['content-length'] = String(Buffer.byteLength(body));
    }
    const token = credential?.token ?? this.#currentToken();
    if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
    const { ca, serverName, socketPath } = this.#config;
    const { clientCert, clientKey } = credential?.clientCert === undefined ? this.#config : credential;
    const tls = {
      ...(ca !== undefined && { ca }),
      ...(clientCert !== undefined && { cert: clientCert }),
      ...(clientKey !== undefined && { key: clientKey }),
      ...(serverName !== undefined && { servername: serverName }),
    };
    return {
      method,
      path: this.#base.pathname.replace(/\/$/, '') + path,
      headers,
      agent: this.#agent,
      host: this.#base.hostname.replace(/^\[|\]$/g, ''),
      port: this.#base.port === '' ? (this.#base.protocol === 'http:' ? 80 : 443) : Number(this.#base.port),
      ...(socketPath !== undefined && { socketPath }),
      ...tls,
    };
  }

  #currentToken(): string | undefined {
    const { token, tokenFile } = this.#config;
    if (tokenFile === undefined) return token;
    try {
      const { mtimeMs, ino, size } = statSync(tokenFile);
      const stamp = `${mtimeMs} ${ino} ${size}`;
      if (this.#token?.stamp !== stamp) {
        this.#token = { stamp, value: readFileSync(tokenFile, 'utf8').trim() };
      }
      return this.#token.value;
    } catch (cause) {
      if (this.#token !== undefined) return this.#token.value;
      throw new MeshError('kubeconfig-invalid', `cannot read token file ${tokenFile}`, { cause });
    }
  }
}

/** `GET /api/v1/pods`: the query is left out because selectors may be long. */
export function describe({ method, path }: TransportRequest): string {
  const query = path.indexOf('?');
  return `${method} ${query === -1 ? path : path.slice(0, query)}`;
}

function unreachable(request: TransportRequest, config: KubeConfig, cause: unknown): MeshError {
  const where =
    config.socketPath === undefined ? config.server : `${config.server} (through ${config.socketPath})`;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new MeshError('kube-unreachable', `${describe(request)} at ${where}: ${why}`, { cause });
}
