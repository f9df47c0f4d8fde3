/** An attack's site when what is attacked is a proxy in another process: seen by its connections, its metrics and the application. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls';
import { type Clock, sleep } from '@mesh/clock/clock';
import type { TlsAttackSite } from '../testing/tls-attacks.ts';
import { describeEnd, type Ender } from './describe-end.ts';
import type { AttackerOrder } from './messages.ts';

/**
 * New connections begin no closer than this: a handshake costs the proxy more than most attacks on an open connection do, and what
 * many handshakes cost is an attack of its own.
 */
export const betweenConnectionsMs = 40;
/** Of those without a handshake. */
export const betweenPlainMs = 2;

export interface RemoteSiteOptions {
  readonly clock: Clock;
  /** Whose application is behind the proxy. */
  readonly application: 'shared' | 'own';
  /** Between connections with one. */
  readonly pauseMs: number;
  /** Between connections without a handshake. */
  readonly plainPauseMs: number;
}

/** Whoever asks for metrics more often than `admin_renders` allows gets an old page. */
const pagePauseMs = 125;

export class RemoteSite implements TlsAttackSite {
  readonly longestPassMs = 60_000;
  readonly scale = 20;
  readonly #order: AttackerOrder;
  readonly #port: number;
  readonly #counter: string;
  readonly #clock: Clock;
  readonly #pauseMs: number;
  readonly #plainPauseMs: number;
  readonly trusted: { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer };
  readonly serverName: string;
  readonly exported: string;
  readonly identity: string;
  readonly #secureContext: SecureContext;
  readonly #sockets: Set<Socket> = new Set();
  readonly #ends: Map<string, number> = new Map();
  #nextPageMs = 0;
  #nextConnectMs = 0;
  #connections = 0;
  #requestsBefore = 0;
  #pageBefore = '';

  constructor(order: AttackerOrder, { clock, application, pauseMs, plainPauseMs }: RemoteSiteOptions) {
    this.#order = order;
    this.#pauseMs = pauseMs;
    this.#plainPauseMs = plainPauseMs;
    this.#port = order.ports[application];
    this.#counter = order.applications[application];
    this.#clock = clock;
    this.trusted = {
      cert: readFileSync(order.chain),
      key: readFileSync(order.key),
      ca: readFileSync(order.anchors),
    };
    this.serverName = order.serverIdentity;
    this.exported = order.exported;
    this.identity = order.identity;
    this.#secureContext = createSecureContext(this.trusted);
  }

  get connections(): number {
    return this.#connections;
  }

  /** How connections ended, and how many. */
  get ends(): Record<string, number> {
    return Object.fromEntries(this.#ends);
  }

  /** One more time: counts are from here on. */
  async begin(): Promise<void> {
    this.#requestsBefore = await this.#allRequests();
    this.#pageBefore = await this.#page();
  }

  /** Ends what is still open, as the attacker's own doing. */
  async finish(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    while (this.#sockets.size > 0) await sleep(this.#clock, 5);
  }

  async connect(alpn: readonly string[] = []): Promise<Socket> {
    const { host, serverIdentity } = this.#order;
    await this.#turn(this.#pauseMs);
    const socket = connectTls({
      host,
      port: this.#port,
      servername: serverIdentity,
      secureContext: this.#secureContext,
      checkServerIdentity: () => undefined,
      ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
    });
    socket.setNoDelay();
    await this.#opened(socket, 'secureConnect');
    return socket;
  }

  connectPlain(): Promise<Socket> {
    return this.#connectTcp(this.#plainPauseMs);
  }

  connectForHandshake(): Promise<Socket> {
    return this.#connectTcp(this.#pauseMs);
  }

  async #connectTcp(pauseMs: number): Promise<Socket> {
    await this.#turn(pauseMs);
    const socket = connectTcp({ host: this.#order.host, port: this.#port, noDelay: true });
    await this.#opened(socket, 'connect');
    return socket;
  }

  async requests(): Promise<number> {
    return (await this.#allRequests()) - this.#requestsBefore;
  }

  async hits(limit: string): Promise<number> {
    const line = `mesh_limit_hits_total{limit="${limit}"}`;
    return valueOf(await this.#page(), line) - valueOf(this.#pageBefore, line);
  }

  async refused(reason: string): Promise<number> {
    const line = new RegExp(`^mesh_tls_refused_total\\{[^}]*reason="${reason}"[^}]*\\} (\\d+)$`, 'gm');
    const sum = (page: string): number =>
      Array.from(page.matchAll(line), ([, count]) => Number(count)).reduce(
        (total, count) => total + count,
        0,
      );
    return sum(await this.#page()) - sum(this.#pageBefore);
  }

  async pass(ms: number): Promise<void> {
    await sleep(this.#clock, ms);
  }

  /** What the proxy holds is watched from outside, all the while. */
  mark(): void {}

  async holdsAtMost(): Promise<void> {}

  async open(): Promise<number> {
    return openConnections(await this.#page()) - openConnections(this.#pageBefore);
  }

  async #turn(pauseMs: number): Promise<void> {
    const now = this.#clock.now();
    const dueMs = Math.max(this.#nextConnectMs, now);
    this.#nextConnectMs = dueMs + pauseMs;
    if (dueMs > now) await sleep(this.#clock, dueMs - now);
  }

  async #opened(socket: Socket, event: string): Promise<void> {
    const received: Buffer[] = [];
    this.#connections++;
    this.#sockets.add(socket);
    let ender: Ender = 'attacker';
    socket.on('error', () => (ender = 'proxy'));
    socket.on('end', () => (ender = 'proxy'));
    let listened = false;
    // Listening to data would set it off before the attack listens.
    socket.on('newListener', function onListener(name) {
      if (name !== 'data') return;
      socket.off('newListener', onListener);
      listened = true;
      socket.on('data', (chunk: Buffer) => received.push(chunk));
    });
    socket.on('close', () => {
      this.#sockets.delete(socket);
      if (!listened && ender === 'attacker') ender = 'unknown';
      const end = describeEnd(Buffer.concat(received), ender);
      this.#ends.set(end, (this.#ends.get(end) ?? 0) + 1);
    });
    await once(socket, event);
  }

  async #page(): Promise<string> {
    const now = this.#clock.now();
    const dueMs = Math.max(this.#nextPageMs, now);
    this.#nextPageMs = dueMs + pagePauseMs;
    if (dueMs > now) await sleep(this.#clock, dueMs - now);
    return (await fetch(this.#order.metrics)).text();
  }

  #allRequests(): Promise<number> {
    return new Promise((resolve, reject) => {
      const asked = httpRequest({ socketPath: this.#counter }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('end', () => resolve(Number(text)));
      });
      asked.on('error', reject);
      asked.end();
    });
  }
}

function valueOf(page: string, line: string): number {
  const at = page.indexOf(`\n${line} `);
  return at < 0 ? 0 : Number.parseFloat(page.slice(at + line.length + 2));
}

/** Of clients, whoever they are. */
function openConnections(page: string): number {
  const lines = page.matchAll(
    /^tcp_open_connections\{(?=[^}]*direction="inbound")(?=[^}]*peer="src")[^}]*\} (\d+)$/gm,
  );
  return Array.from(lines, ([, count]) => Number(count)).reduce((sum, count) => sum + count, 0);
}
