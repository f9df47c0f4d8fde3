/**
 * The node's control socket: how the host reaches into the cluster's network, one command per connection.
 *
 * - `CONNECT ADDRESS:PORT` dials in the node's network, answers `OK`, then carries bytes both ways.
 * - `CONNECT ADDRESS:PORT HTTP/1.1` and headers: the same as an HTTP proxy (RFC 9110 §9.3.6), which is how kube-apiserver
 *   reaches into a cluster (its egress selector).
 * - `KILL NAMESPACE/POD CONTAINER SIGNAL` signals a container's main process and answers `OK`.
 *
 * Every line ends with a newline; a refusal is `ERR reason`. Only the owner of the clusters can open the socket.
 */
import { once } from 'node:events';
import { chmodSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import { parseIp } from '@mesh/kube/cidr';
import { nodeLimits } from './limits.ts';
import { joinSockets } from './relay.ts';

export type ControlCommand =
  | { kind: 'connect'; address: string; port: number }
  | { kind: 'kill'; namespace: string; pod: string; container: string; signal: NodeJS.Signals };

/** How the one who asked wants to be answered. */
interface Tongue {
  /** Where the command ends, undefined while more of it must come. */
  end(head: Buffer): number | undefined;
  readonly accepted: string;
  refused(reason: string): string;
}

const plain: Tongue = {
  end: (head) => after(head, '\n'),
  accepted: 'OK\n',
  refused: (reason) => `ERR ${reason}\n`,
};

const http: Tongue = {
  end: (head) => after(head, '\r\n\r\n'),
  accepted: 'HTTP/1.1 200 Connection established\r\n\r\n',
  refused: (reason) =>
    `HTTP/1.1 502 Bad Gateway\r\ncontent-length: ${Buffer.byteLength(reason)}\r\n\r\n${reason}`,
};

const httpVersion = / HTTP\/1\.1\r?$/;

function after(head: Buffer, mark: string): number | undefined {
  const start = head.indexOf(mark);
  return start === -1 ? undefined : start + mark.length;
}

const maxLineBytes = nodeLimits.node_control_line_bytes.default;
const dialTimeoutMs = nodeLimits.node_control_dial_ms.default;

/** One command line without its newline, or why it is none. */
export function parseCommand(line: string): ControlCommand | { fault: string } {
  const words = line.trim().split(' ');
  const [verb, target = ''] = words;
  if (verb === 'CONNECT' && words.length === 2) {
    const match = /^([\d.]+):(\d{1,5})$/.exec(target);
    const port = Number(match?.[2] ?? 0);
    if (parseIp(match?.[1] ?? '') === undefined || port < 1 || port > 65_535) {
      return { fault: `CONNECT needs ADDRESS:PORT, not ${target.slice(0, 100)}` };
    }
    return { kind: 'connect', address: match?.[1] ?? '', port };
  }
  if (verb === 'KILL' && words.length === 4) {
    const [namespace = '', pod = ''] = target.split('/');
    const name = words[3] ?? '';
    const signal = Object.keys(constants.signals).find((known) => known === name);
    if (pod === '' || signal === undefined) return { fault: 'KILL needs NAMESPACE/POD CONTAINER SIGNAL' };
    return { kind: 'kill', namespace, pod, container: words[2] ?? '', signal: signal as NodeJS.Signals };
  }
  return { fault: 'expected CONNECT ADDRESS:PORT or KILL NAMESPACE/POD CONTAINER SIGNAL' };
}

interface ControlSocketOptions {
  clock: Clock;
  /** False when there is no such container running. */
  kill: (command: Extract<ControlCommand, { kind: 'kill' }>) => boolean;
}

export class ControlSocket {
  readonly #options: ControlSocketOptions;
  readonly #server: Server;
  readonly #open: Set<Socket> = new Set();

  constructor(options: ControlSocketOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  async listen(path: string): Promise<void> {
    rmSync(path, { force: true });
    this.#server.listen(path);
    await once(this.#server, 'listening');
    chmodSync(path, 0o600);
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#open) socket.destroy();
  }

  #accept(socket: Socket): void {
    this.#track(socket);
    socket.on('error', () => socket.destroy());
    let head: Buffer = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const lineEnd = head.indexOf(10);
      const line = lineEnd === -1 ? '' : head.subarray(0, lineEnd).toString('utf8');
      const tongue = httpVersion.test(line) ? http : plain;
      const end = tongue.end(head);
      if (end === undefined) {
        if (head.length > maxLineBytes) socket.end(tongue.refused('the command is too long'));
        return;
      }
      socket.off('data', onData);
      socket.pause();
      const rest = head.subarray(end);
      if (rest.length > 0) socket.unshift(rest);
      this.#obey(socket, tongue, parseCommand(line.replace(httpVersion, '')));
    };
    socket.on('data', onData);
  }

  #obey(socket: Socket, tongue: Tongue, command: ControlCommand | { fault: string }): void {
    if ('fault' in command) {
      socket.end(tongue.refused(command.fault));
      return;
    }
    if (command.kind === 'kill') {
      const done = this.#options.kill(command);
      const { namespace, pod, container } = command;
      const missing = `no container ${container} runs in pod ${namespace}/${pod}`;
      socket.end(done ? tongue.accepted : tongue.refused(missing));
      return;
    }
    const upstream = connect({
      host: command.address,
      port: command.port,
      allowHalfOpen: true,
      noDelay: true,
    });
    this.#track(upstream);
    const timer = this.#options.clock.after(
      dialTimeoutMs,
      () => upstream.destroy(new Error(`no connection within ${dialTimeoutMs} ms`)),
      true,
    );
    const refuse = (error: Error): void => {
      timer.cancel();
      socket.end(tongue.refused(error.message));
    };
    upstream.once('error', refuse);
    upstream.once('connect', () => {
      timer.cancel();
      upstream.off('error', refuse);
      socket.write(tongue.accepted);
      joinSockets(socket, upstream);
    });
  }

  #track(socket: Socket): void {
    this.#open.add(socket);
    socket.on('close', () => this.#open.delete(socket));
  }
}
