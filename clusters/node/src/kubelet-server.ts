/**
 * The node's side of what an API server asks of a kubelet: `GET /containerLogs/NAMESPACE/POD/CONTAINER` over TLS, where
 * the caller is the API server by its client certificate. Commands in containers (exec, attach, port-forward) are not
 * offered: they answer 501.
 */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { TLSSocket } from 'node:tls';
import type { LogRequest } from './pod-logs.ts';

/** Port of a kubelet, announced in the Node's status. */
export const kubeletPort = 10_250;

/** Name in the client certificate of an API server. */
const apiserverName = 'kube-apiserver-kubelet-client';

interface KubeletServerOptions {
  /** PEM of the serving certificate and its key. */
  serving: string;
  /** PEM of the cluster's authority. */
  ca: string;
  serveLog: (request: LogRequest, response: ServerResponse) => Promise<void>;
  onError: (error: unknown) => void;
}

export class KubeletServer {
  readonly #options: KubeletServerOptions;
  readonly #server: Server;

  constructor(options: KubeletServerOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        cert: options.serving,
        key: options.serving,
        ca: options.ca,
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: 'TLSv1.2',
      },
      (request, response) => this.#answer(request, response),
    );
    // A log that is followed may be silent for as long as it likes.
    this.#server.requestTimeout = 0;
  }

  /** Resolves to the port, which is the given one unless that is 0. */
  async listen(address: string, port: number): Promise<number> {
    this.#server.listen(port, address);
    await once(this.#server, 'listening');
    const bound = this.#server.address();
    return typeof bound === 'object' && bound !== null ? bound.port : port;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const caller = socket instanceof TLSSocket ? socket.getPeerCertificate().subject?.CN : undefined;
    const url = URL.parse(request.url ?? '/', 'https://kubelet');
    const { pathname, searchParams: query } = url ?? { pathname: '', searchParams: new URLSearchParams() };
    // Names of Kubernetes need no escapes; what has some is the name of nothing.
    const [, verb = '', namespace, pod, container, ...more] = pathname.split('/');
    if (caller !== apiserverName) {
      refuse(response, 403, `Forbidden: only ${apiserverName} may ask`);
    } else if (verb === 'exec' || verb === 'attach' || verb === 'portForward') {
      refuse(response, 501, `this node does not offer ${verb}: its pods are processes of the machine`);
    } else if (
      request.method !== 'GET' ||
      verb !== 'containerLogs' ||
      namespace === undefined ||
      pod === undefined ||
      container === undefined ||
      more.length > 0
    ) {
      refuse(response, 404, '404 page not found');
    } else {
      this.#options.serveLog({ namespace, pod, container, query }, response).catch((error) => {
        this.#options.onError(error);
        if (response.headersSent) response.destroy();
        else refuse(response, 500, String(error));
      });
    }
  }
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(text);
}
