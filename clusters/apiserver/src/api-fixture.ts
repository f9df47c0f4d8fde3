/** A real server on a free port and a client that speaks plain HTTPS to it, for the tests of this folder. */
import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpsRequest, Agent } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { systemClock, systemRandom } from '@mesh/clock/system';
import { silentLogger } from '@mesh/telemetry/log';
import { isObject, type Json, type JsonObject } from './json.ts';
import type { ClusterKeys, KeyPair } from './pki.ts';
import { startApiserver, type Apiserver, type ApiserverOptions } from './server.ts';

export interface Answer {
  readonly code: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  /** The body as an object; empty when it is none. */
  readonly body: JsonObject;
}

export interface Call {
  method?: string;
  body?: Json | string;
  headers?: Record<string, string | string[]>;
  /** Default: the administrator's certificate. `null`: no certificate. */
  credential?: KeyPair | null;
  token?: string;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: JsonObject;
}

export interface OpenWatch {
  /** The next event. Rejects when the server ended the watch. */
  next(): Promise<WatchEvent>;
  /** Resolves when the server ends it. */
  readonly ended: Promise<void>;
  close(): void;
}

/** A server that listens on the loopback: the embedded one unless a test started another. */
export class ApiFixture<Server extends { port: number; keys: ClusterKeys } = Apiserver> {
  readonly server: Server;
  readonly directory: string;
  readonly admin: KeyPair;

  constructor(server: Server, directory: string, admin: KeyPair) {
    this.server = server;
    this.directory = directory;
    this.admin = admin;
  }

  call(path: string, { method, body, headers = {}, credential, token }: Call = {}): Promise<Answer> {
    const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const outgoing = httpsRequest(
        {
          ...this.#connection(credential),
          path,
          method: method ?? (text === undefined ? 'GET' : 'POST'),
          headers: {
            ...(text === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
            ...headers,
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const received = Buffer.concat(chunks).toString('utf8');
            resolve({
              code: response.statusCode ?? 0,
              headers: response.headers,
              text: received,
              body: parseObject(received),
            });
          });
        },
      );
      outgoing.on('error', reject);
      outgoing.end(text);
    });
  }

  /** Sends a patch of the given kind. */
  patch(path: string, kind: 'json' | 'merge' | 'strategic-merge', body: Json): Promise<Answer> {
    const headers = { 'content-type': `application/${kind}-patch+json` };
    return this.call(path, { method: 'PATCH', body, headers });
  }

  apply(path: string, body: Json, query = 'fieldManager=test'): Promise<Answer> {
    const headers = { 'content-type': 'application/apply-patch+yaml' };
    return this.call(`${path}?${query}`, { method: 'PATCH', body, headers });
  }

  /** @param reading false leaves all events in the socket */
  watch(path: string, { reading = true }: { reading?: boolean } = {}): Promise<OpenWatch> {
    return new Promise((resolve, reject) => {
      const outgoing = httpsRequest({ ...this.#connection(undefined), path }, (response) => {
        if (!reading) response.pause();
        const lines = reading ? createInterface({ input: response })[Symbol.asyncIterator]() : undefined;
        response.on('error', () => {});
        resolve({
          ended: new Promise((ended) => response.on('close', () => ended())),
          async next() {
            const { value, done } = (await lines?.next()) ?? { value: '', done: true };
            if (done === true) throw new Error('the server ended the watch');
            return JSON.parse(value) as WatchEvent;
          },
          close: () => outgoing.destroy(),
        });
      });
      outgoing.on('error', reject);
      outgoing.end();
    });
  }

  #connection(credential: KeyPair | null | undefined): {
    host: string;
    port: number;
    ca: string;
    agent: Agent;
    cert?: string;
    key?: string;
  } {
    const used = credential === undefined ? this.admin : credential;
    return {
      host: '127.0.0.1',
      port: this.server.port,
      ca: this.server.keys.caPem,
      agent: new Agent({ keepAlive: false }),
      ...(used === null ? {} : { cert: used.certificatePem, key: used.keyPem }),
    };
  }
}

function parseObject(text: string): JsonObject {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

/** A server with an empty state directory, or with `directory`, that is closed when the test ends. */
export async function startFixture(
  test: TestContext,
  options: Partial<ApiserverOptions> = {},
): Promise<ApiFixture> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'mesh-apiserver-'));
  const server = await startApiserver({
    cluster: 'test',
    address: '127.0.0.1',
    port: 0,
    nodeName: 'node',
    serviceCidr: '10.96.0.0/24',
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
    ...options,
    directory,
  });
  let closed = false;
  const close = server.close.bind(server);
  const once: Apiserver = {
    ...server,
    async close() {
      if (closed) return;
      closed = true;
      await close();
    },
  };
  test.after(async () => {
    await once.close();
    if (options.directory === undefined) rmSync(directory, { recursive: true, force: true });
  });
  return new ApiFixture(once, directory, await server.keys.issueClient('admin', ['system:masters']));
}

/** A pod that runs nowhere, whose namespace needs no ServiceAccount token. */
export function pod(name: string, labels: Record<string, string> = {}): JsonObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels },
    spec: { containers: [{ name: 'app', image: 'app:1' }] },
  };
}

export function configMap(name: string, data: Record<string, string> = {}): JsonObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data };
}

export async function createAccount(api: ApiFixture, namespace: string, name = 'default'): Promise<Answer> {
  return await api.call(`/api/v1/namespaces/${namespace}/serviceaccounts`, {
    body: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } },
  });
}
