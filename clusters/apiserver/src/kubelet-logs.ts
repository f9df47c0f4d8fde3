/** Pod logs: asked of the kubelet of the pod's node, as kube-apiserver does, and handed on as they come. */
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect as tlsConnect } from 'node:tls';
import { kubeletClient } from './credentials.ts';
import { sendText, type ResourceExchange } from './exchange.ts';
import { listAt, numberAt, textAt } from './json.ts';
import type { KubeObject } from './object.ts';
import type { ClusterKeys, KeyPair } from './pki.ts';
import { ApiError, badRequest, notFound } from './status.ts';
import type { Store } from './store.ts';
import { dialThroughNode } from './webhook-dial.ts';

interface KubeletLogsOptions {
  store: Store;
  keys: ClusterKeys;
  /** Unix socket of the node that leads into the cluster's network; dialled directly without one. */
  relayPath: string | undefined;
}

/** PodLogOptions that a kubelet takes. */
const passedOn = [
  ...['follow', 'previous', 'sinceSeconds', 'sinceTime', 'timestamps', 'tailLines', 'limitBytes'],
];

const defaultPort = 10_250;
/** Of an error's text; the log itself is streamed. */
const longestRefusal = 4096;

export class KubeletLogs {
  readonly #options: KubeletLogsOptions;
  #credential: Promise<KeyPair> | undefined;

  constructor(options: KubeletLogsOptions) {
    this.#options = options;
  }

  /** @throws ApiError 400, 404, 500 */
  async serve({ info, response }: ResourceExchange, pod: KubeObject): Promise<void> {
    const container = containerOf(pod, info.query.get('container') ?? '');
    const nodeName = textAt(pod, 'spec', 'nodeName') ?? '';
    if (nodeName === '') {
      sendText(response, 200, '', 'text/plain');
      return;
    }
    const { host, port } = this.#kubelet(nodeName);
    const query = new URLSearchParams();
    for (const name of passedOn) {
      const value = info.query.get(name);
      if (value !== null) query.set(name, value);
    }
    const { namespace = '', name } = pod.metadata;
    const path = `/containerLogs/${namespace}/${name}/${container}${query.size === 0 ? '' : `?${query.toString()}`}`;
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    const incoming = await this.#get({ host, port, path, signal: gone.signal });
    if (incoming.statusCode !== 200) throw await refusal(incoming);
    response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-cache, private' });
    response.flushHeaders();
    await new Promise<void>((resolve) => {
      incoming.on('error', () => response.destroy());
      incoming.on('close', resolve);
      incoming.pipe(response);
    });
  }

  #kubelet(nodeName: string): { host: string; port: number } {
    const node = this.#options.store.get('/nodes', '', nodeName);
    if (node === undefined) throw notFound({ kind: 'nodes', name: nodeName });
    const internal = listAt(node, 'status', 'addresses').find(
      (each) => textAt(each, 'type') === 'InternalIP',
    );
    const host = textAt(internal, 'address');
    if (host === undefined) throw unreachable(`no preferred addresses found; known addresses: []`);
    return {
      host,
      port: numberAt(node, 'status', 'daemonEndpoints', 'kubeletEndpoint', 'Port') ?? defaultPort,
    };
  }

  async #get(target: {
    host: string;
    port: number;
    path: string;
    signal: AbortSignal;
  }): Promise<IncomingMessage> {
    const { host, port, path, signal } = target;
    const { keys, relayPath } = this.#options;
    this.#credential ??= keys.issueClient(kubeletClient.user, kubeletClient.groups);
    const { certificatePem: cert, keyPem: key } = await this.#credential;
    const tls = { host, port, ca: keys.caPem, cert, key };
    try {
      const socket = relayPath === undefined ? undefined : await dialThroughNode(relayPath, host, port);
      return await new Promise((resolve, reject) => {
        const request = httpsRequest(
          {
            ...tls,
            path,
            signal,
            ...(socket === undefined
              ? { agent: false as const }
              : { createConnection: () => tlsConnect({ ...tls, socket }) }),
          },
          resolve,
        );
        request.on('error', reject);
        request.end();
      });
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      throw unreachable(`Get "https://${host}:${port}${path}": ${why}`);
    }
  }
}

function containerOf(pod: KubeObject, wanted: string): string {
  const names = (list: string): string[] =>
    listAt(pod, 'spec', list).map((item) => textAt(item, 'name') ?? '');
  const regular = names('containers');
  const all = [...regular, ...names('initContainers')];
  const { name } = pod.metadata;
  if (wanted === '') {
    const [only] = regular;
    if (only !== undefined && all.length === 1) return only;
    throw badRequest(`a container name must be specified for pod ${name}, choose one of: [${all.join(' ')}]`);
  }
  if (!all.includes(wanted)) throw badRequest(`container ${wanted} is not valid for pod ${name}`);
  return wanted;
}

function unreachable(message: string): ApiError {
  return new ApiError({ code: 500, reason: '', message });
}

async function refusal(incoming: IncomingMessage): Promise<ApiError> {
  let text = '';
  for await (const chunk of incoming) {
    text += String(chunk);
    if (text.length > longestRefusal) break;
  }
  if (incoming.statusCode === 400) return badRequest(text);
  return unreachable(
    `unknown (get pods): the kubelet answered ${incoming.statusCode}: ${text.slice(0, longestRefusal)}`,
  );
}
