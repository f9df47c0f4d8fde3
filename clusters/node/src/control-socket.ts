/**
 * The node's control socket: how the host reaches into the cluster's network, one command per connection.
 *
 * - `CONNECT ADDRESS:PORT` dials in the node's network, answers `OK`, then carries bytes both ways.
 * - `KILL NAMESPACE/POD CONTAINER SIGNAL` signals a container's main process and answers `OK`.
 *
 * Every line ends with a newline; a refusal is `ERR reason`. Only the owner of the clusters can open the socket.
 */
import { once } from 'node:events';
import { chmodSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import { parseIp } from './cidr.ts';
import { nodeLimits } from './limits.ts';
import { joinSockets } from './relay.ts';

export type ControlCommand =
  | { kind: 'connect'; address: string; port: number }
  | { kind: 'kill'; namespace: string; pod: string; container: string; signal: NodeJS.Signals };

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
      const end = head.indexOf(10);
      if (end === -1) {
        if (head.length > maxLineBytes) socket.end('ERR the command is too long\n');
        return;
      }
      socket.off('data', onData);
      socket.pause();
      const rest = head.subarray(end + 1);
      if (rest.length > 0) socket.unshift(rest);
      this.#obey(socket, parseCommand(head.subarray(0, end).toString('utf8')));
    };
    socket.on('data', onData);
  }

  #obey(socket: Socket, command: ControlCommand | { fault: string }): void {
    if ('fault' in command) {
      socket.end(`ERR ${command.fault}\n`);
      return;
    }
    if (command.kind === 'kill') {
      const done = this.#options.kill(command);
      const { namespace, pod, container } = command;
      socket.end(done ? 'OK\n' : `ERR no container ${container} runs in pod ${namespace}/${pod}\n`);
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
      socket.end(`ERR ${error.message}\n`);
    };
    upstream.once('error', refuse);
    upstream.once('connect', () => {
      timer.cancel();
      upstream.off('error', refuse);
      socket.write('OK\n');
      joinSockets(socket, upstream);
    });
  }

  #track(socket: Socket): void {
    this.#open.add(socket);
    socket.on('close', () => this.#open.delete(socket));
  }
}
