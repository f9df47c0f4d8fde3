/**
 * The connections to one peer that speak one HTTP version: opening, sharing, waiting and closing.
 *
 * HTTP/2 lanes share one connection and open more when its streams run out; HTTP/1 lanes keep a stack of idle
 * connections. Who needs a connection submits itself and is called back at once when one is free.
 */
import type { Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import type { ClientConnection } from '@mesh/http/message';
import { ConnectError, type ConnectFault, connectFault } from './connector.ts';

/** Who waits for a connection. Exactly one of the two is called, unless it is withdrawn first. */
export interface Submission {
  /** `connection` is usable and has capacity; start the request before returning. */
  onConnection(connection: ClientConnection): void;
  onConnectFailed(fault: LaneFault): void;
}

/** `overloaded`: so many wait that no more may. */
export interface LaneFault {
  readonly kind: ConnectFault['kind'] | 'overloaded';
  readonly detail: string;
}

export interface WrappedSocket {
  readonly connection: ClientConnection;
  /** Resolves once the peer has shown that it serves the connection, rejects with a ConnectError; undefined: at once. */
  readonly confirmed: Promise<void> | undefined;
}

/** Wall-clock milliseconds; Infinity where no certificate proved anything. */
export interface Expiry {
  /** From then on it takes no new request. */
  readonly endingAt: number;
  /** Then it is cut, whatever is in flight. */
  readonly until: number;
}

export interface LaneOptions {
  clock: Clock;
  /** Opens a socket; rejects with a ConnectError. */
  dial: () => Promise<Socket>;
  /** What the certificates of both ends say. */
  expiry: (socket: Socket) => Expiry;
  /** Puts the codec on it. */
  wrap: (socket: Socket) => WrappedSocket;
  /** One request at a time per connection (HTTP/1). */
  exclusive: boolean;
  maxConnections: number;
  maxWaiters: number;
  /** How long a new connection may have no room for a request. */
  connectMs: number;
  /** `begun`: when the connect that failed was started, ms of the clock. */
  onFailure: (fault: ConnectFault, begun: number) => void;
  /** A connection has room for a request. */
  onSuccess: () => void;
  onLimit: (name: 'connections' | 'waiters' | 'idle' | 'age' | 'expiry') => void;
}

interface Entry {
  readonly connection: ClientConnection;
  readonly expiry: Expiry;
  readonly openedAt: number;
  /** On the stack of connections with capacity. */
  listed: boolean;
  idleSince: number;
  draining: boolean;
  /** It had room for a request, so that the peer counts as reached; or it counted as a failure. */
  served: boolean;
}

export class Lane {
  readonly #options: LaneOptions;
  readonly #entries: Set<Entry> = new Set();
  readonly #available: Entry[] = [];
  /** In order. Not a Set: where connections are used up each request is one of them (see StreamTable of packages/http2). */
  #waiters: Submission[] = [];
  #connecting = 0;
  #closed = false;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /** Whether a connection is there that takes requests, now or when one of its streams ends. */
  get usable(): boolean {
    for (const { connection } of this.#entries) if (connection.usable) return true;
    return false;
  }

  /** Whether any connection is there still. */
  get connected(): boolean {
    return this.#entries.size > 0;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  /** False: it waits, and no further connection may be opened for it. */
  submit(submission: Submission): boolean {
    const connection = this.#take();
    if (connection !== undefined) {
      submission.onConnection(connection);
      return true;
    }
    if (this.#waiters.length >= this.#options.maxWaiters) {
      this.#options.onLimit('waiters');
      submission.onConnectFailed({ kind: 'overloaded', detail: 'too many requests wait for a connection' });
      return true;
    }
    this.#waiters.push(submission);
    return this.#open();
  }

  withdraw(submission: Submission): void {
    const place = this.#waiters.indexOf(submission);
    if (place !== -1) this.#waiters.splice(place, 1);
  }

  /** Learns whether the peer can be reached: from a connection that is there, or by opening one. */
  probe(): void {
    if (this.#connecting > 0 || this.#closed) return;
    if (this.usable) this.#options.onSuccess();
    else void this.#connect();
  }

  /** Closes what is idle longer than `idleMs` and drains what is older than `ageMs` or expires soon, cuts what has expired. */
  sweep({ idleMs, ageMs }: { idleMs: number; ageMs: number }): void {
    const { clock, onLimit } = this.#options;
    const now = clock.now();
    const wall = clock.wall();
    for (const entry of this.#entries) {
      if (wall >= entry.expiry.until) {
        onLimit('expiry');
        this.#unlist(entry);
        entry.connection.destroy();
        continue;
      }
      if (entry.connection.activeStreams > 0) entry.idleSince = now;
      if (entry.draining) continue;
      const tooOld = now - entry.openedAt >= ageMs;
      const idle = this.#options.exclusive && now - entry.idleSince >= idleMs;
      if (tooOld || idle || wall >= entry.expiry.endingAt) {
        if (tooOld) onLimit('age');
        else if (idle) onLimit('idle');
        entry.draining = true;
        this.#unlist(entry);
        entry.connection.drain();
      }
    }
  }

  /** Ends everything; requests in flight are reset. */
  destroy(): void {
    this.#closed = true;
    this.#available.length = 0;
    for (const entry of this.#entries) entry.connection.destroy();
    this.#entries.clear();
    this.#failWaiters({ kind: 'refused', detail: 'the endpoint was removed' });
  }

  /** Lets requests in flight end, then closes. */
  drain(): void {
    this.#closed = true;
    this.#available.length = 0;
    for (const entry of this.#entries) {
      entry.draining = true;
      entry.listed = false;
      entry.connection.drain();
    }
    this.#failWaiters({ kind: 'refused', detail: 'the endpoint was removed' });
  }

  #take(): ClientConnection | undefined {
    for (let last = this.#available.length - 1; last >= 0; last--) {
      const entry = this.#available[last] as Entry;
      const { connection } = entry;
      if (connection.capacity > 0) {
        if (this.#options.exclusive) this.#unlist(entry);
        return connection;
      }
      this.#unlist(entry);
    }
    return undefined;
  }

  #unlist(entry: Entry): void {
    if (!entry.listed) return;
    entry.listed = false;
    // The stack is used from its end, where the entry nearly always is.
    const last = this.#available.length - 1;
    if (this.#available[last] === entry) {
      this.#available.pop();
      return;
    }
    const index = this.#available.lastIndexOf(entry);
    if (index !== -1) this.#available.splice(index, 1);
  }

  /** False: more are wanted than may be opened. */
  #open(): boolean {
    if (this.#closed) return true;
    const wanted = this.#options.exclusive ? this.#waiters.length : 1;
    while (this.#connecting < wanted) {
      if (this.#taken + this.#connecting >= this.#options.maxConnections) {
        this.#options.onLimit('connections');
        return false;
      }
      void this.#connect();
    }
    return true;
  }

  /**
   * Connections that count. One that is asked to leave each hour goes on while streams on it last, for a day perhaps, and takes no
   * more: with shared ones those alone count that do. Each of the others carries a request, and requests are bounded.
   */
  get #taken(): number {
    if (this.#options.exclusive) return this.#entries.size;
    let usable = 0;
    for (const { connection } of this.#entries) if (connection.usable) usable++;
    return usable;
  }

  async #connect(): Promise<void> {
    this.#connecting++;
    const { clock, dial, wrap } = this.#options;
    const begun = clock.now();
    let connection: ClientConnection;
    let expiry: Expiry;
    try {
      const socket = await dial();
      expiry = this.#options.expiry(socket);
      const wrapped = wrap(socket);
      connection = wrapped.connection;
      if (wrapped.confirmed !== undefined) await wrapped.confirmed;
    } catch (thrown) {
      this.#connecting--;
      this.#failed(thrown, begun);
      return;
    }
    this.#connecting--;
    if (this.#closed) {
      connection.destroy();
      return;
    }
    const now = clock.now();
    const entry: Entry = {
      connection,
      expiry,
      openedAt: now,
      listed: false,
      idleSince: now,
      draining: false,
      served: false,
    };
    this.#entries.add(entry);
    connection.onChange = () => this.#changed(entry);
    this.#changed(entry);
    // Who waits for a verdict on the peer, and has asked for no other connection, must hear one.
    if (!entry.served) clock.after(this.#options.connectMs, () => this.#leftUnserved(entry), true);
  }

  #failed(thrown: unknown, begun: number): void {
    if (this.#closed) return;
    const fault = connectFault(thrown);
    // First the verdict, so that those who wait do not pick this endpoint again.
    this.#options.onFailure(fault, begun);
    this.#failWaiters(fault);
  }

  #failWaiters(fault: ConnectFault): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.onConnectFailed(fault);
  }

  #changed(entry: Entry): void {
    const { connection } = entry;
    if (!connection.usable) {
      this.#unlist(entry);
      if (connection.activeStreams === 0) this.#entries.delete(entry);
      if (!entry.served) this.#leftUnserved(entry);
      else if (this.#waiters.length > 0) this.#open();
      return;
    }
    if (entry.draining || this.#closed) return;
    if (connection.capacity > 0 && !entry.listed) {
      entry.listed = true;
      entry.idleSince = this.#options.clock.now();
      this.#available.push(entry);
    }
    this.#serveWaiters();
    if (entry.served || (connection.capacity === 0 && connection.activeStreams === 0)) return;
    entry.served = true;
    this.#options.onSuccess();
  }

  /** As good as none: where it ended, the next one would end like it, and be followed by a third. */
  #leftUnserved(entry: Entry): void {
    if (entry.served) return;
    entry.served = true;
    const detail = 'a new connection had no room for a request';
    this.#failed(new ConnectError(detail, { kind: 'refused' }), entry.openedAt);
  }

  #serveWaiters(): void {
    while (this.#waiters.length > 0) {
      const connection = this.#take();
      if (connection === undefined) break;
      this.#waiters.shift()?.onConnection(connection);
    }
    if (this.#waiters.length > 0) this.#open();
  }
}
