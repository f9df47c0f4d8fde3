/**
 * How the server reaches admission webhooks. It runs outside the pod network, so a webhook that is a Service is
 * reached through the node: a unix socket that takes one line `CONNECT IP:PORT`, answers `OK` or `ERR REASON`, and
 * then carries the bytes.
 */
import { connect, type Socket } from 'node:net';
import { at, listAt, numberAt, textAt } from './json.ts';
import type { Store } from './store.ts';

export interface ServiceReference {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
}

/** A ready endpoint of the Service, or why there is none. */
export function resolveService(
  store: Store,
  { namespace, name, port }: ServiceReference,
): { address: string; port: number } | { fault: string } {
  const service = store.get('/services', namespace, name);
  if (service === undefined) return { fault: `service "${name}" not found` };
  const servicePort = listAt(service, 'spec', 'ports').find((item) => numberAt(item, 'port') === port);
  if (servicePort === undefined) return { fault: `service "${name}" has no port ${port}` };
  const portName = textAt(servicePort, 'name') ?? '';
  for (const slice of store.list('discovery.k8s.io/endpointslices', namespace)) {
    if (textAt(slice, 'metadata', 'labels', 'kubernetes.io/service-name') !== name) continue;
    const target = listAt(slice, 'ports').find((item) => (textAt(item, 'name') ?? '') === portName);
    const targetPort = numberAt(target, 'port');
    if (targetPort === undefined) continue;
    for (const endpoint of listAt(slice, 'endpoints')) {
      const address = textAt(endpoint, 'addresses', 0);
      if (address !== undefined && at(endpoint, 'conditions', 'ready') !== false) {
        return { address, port: targetPort };
      }
    }
  }
  return { fault: `no endpoints available for service "${name}"` };
}

const longestReply = 512;

/** A socket to `address:port` through the node's relay. Rejects with the relay's reason. */
export function dialThroughNode(relayPath: string, address: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(relayPath);
    let reply = Buffer.alloc(0);
    const fail = (why: string): void => {
      socket.destroy();
      reject(new Error(`dial tcp ${address}:${port}: ${why}`));
    };
    const onError = (error: Error): void => fail(error.message);
    const onEnd = (): void => fail('the node closed the connection');
    const onData = (chunk: Buffer): void => {
      reply = Buffer.concat([reply, chunk]);
      const end = reply.indexOf(0x0a);
      if (end === -1) {
        if (reply.length > longestReply) fail('the node sent no answer line');
        return;
      }
      const line = reply.subarray(0, end).toString('utf8');
      if (line !== 'OK') {
        fail(line.replace(/^ERR /, ''));
        return;
      }
      socket.off('data', onData);
      socket.off('error', onError);
      socket.off('end', onEnd);
      socket.pause();
      if (end + 1 < reply.length) socket.unshift(reply.subarray(end + 1));
      resolve(socket);
    };
    socket.on('data', onData);
    socket.on('error', onError);
    socket.on('end', onEnd);
    socket.on('connect', () => socket.write(`CONNECT ${address}:${port}\n`));
  });
}
