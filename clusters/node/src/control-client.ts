import { connect, type Socket } from 'node:net';
import { MeshError } from '@mesh/errors/mesh-error';

/**
 * A connection to `address:port` inside a cluster's network, through the control socket of its node.
 * @throws MeshError cluster-unreachable with what the node said
 */
export async function dialCluster(
  controlSocket: string,
  { address, port }: { address: string; port: number },
): Promise<Socket> {
  return await askControl(controlSocket, `CONNECT ${address}:${port}`);
}

/**
 * Signals the main process of a container, for scenarios that crash things.
 * @throws MeshError cluster-unreachable with what the node said
 */
export async function killContainer(
  controlSocket: string,
  target: { namespace: string; pod: string; container: string; signal?: NodeJS.Signals },
): Promise<void> {
  const { namespace, pod, container, signal = 'SIGKILL' } = target;
  const socket = await askControl(controlSocket, `KILL ${namespace}/${pod} ${container} ${signal}`);
  socket.destroy();
}

/**
 * Sends one line to a control socket and waits for its OK; what follows on the connection is the caller's.
 * @throws MeshError cluster-unreachable with the answer
 */
export function askControl(controlSocket: string, line: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: controlSocket, allowHalfOpen: true });
    let head: Buffer = Buffer.alloc(0);
    const fail = (reason: string, cause?: unknown): void => {
      socket.destroy();
      reject(new MeshError('cluster-unreachable', `${line}: ${reason}`, { cause }));
    };
    const onError = (error: Error): void => fail(error.message, error);
    const onEnd = (): void => fail('the connection was closed');
    const onData = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf(10);
      if (end === -1) return;
      const answer = head.subarray(0, end).toString('utf8');
      if (answer !== 'OK') {
        fail(answer.replace(/^ERR /, ''));
        return;
      }
      socket.off('data', onData);
      socket.off('error', onError);
      socket.off('end', onEnd);
      socket.pause();
      const rest = head.subarray(end + 1);
      if (rest.length > 0) socket.unshift(rest);
      resolve(socket);
    };
    socket.on('error', onError);
    socket.on('end', onEnd);
    socket.on('data', onData);
    socket.write(`${line}\n`);
  });
}
