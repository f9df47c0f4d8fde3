/** `tcp_*`: connections opened, open and closed, and bytes both ways, counted live from the sockets at scrape time. */
import type { Socket } from 'node:net';
import { ignoreError } from '@mesh/sockets/socket-user';
import type { Counter, Family, Gauge, Labels, MetricRegistry } from '@mesh/telemetry/metrics';

interface Open {
  readonly socket: Socket;
  readonly cells: TransportCells;
  read: number;
  written: number;
}

export class TransportMetrics {
  readonly #opened: Family<Counter>;
  readonly #open: Family<Gauge>;
  readonly #closed: Family<Counter>;
  readonly #read: Family<Counter>;
  readonly #written: Family<Counter>;
  readonly #sockets: Set<Open> = new Set();

  constructor(registry: MetricRegistry) {
    const forgetful = { forgetful: true };
    this.#opened = registry.counter('tcp_open_total', 'Connections opened.', forgetful);
    this.#open = registry.gauge('tcp_open_connections', 'Connections open now.', forgetful);
    this.#closed = registry.counter('tcp_close_total', 'Connections closed, by system error.', forgetful);
    this.#read = registry.counter('tcp_read_bytes_total', 'Bytes read.', forgetful);
    this.#written = registry.counter('tcp_write_bytes_total', 'Bytes written.', forgetful);
    registry.onCollect(() => {
      for (const open of this.#sockets) this.#count(open);
    });
  }

  /** `labels` hold direction, peer (`src` or `dst`), tls and identities. */
  cells(labels: Labels): TransportCells {
    return new TransportCells(this, {
      labels,
      opened: this.#opened.with(labels),
      open: this.#open.with(labels),
      closed: this.#closed,
      read: this.#read.with(labels),
      written: this.#written.with(labels),
    });
  }

  /** Follows `socket` until it closes. */
  follow(socket: Socket, cells: TransportCells): void {
    const open: Open = { socket, cells, read: 0, written: 0 };
    this.#sockets.add(open);
    cells.facts.opened.value++;
    cells.facts.open.value++;
    socket.on('error', ignoreError);
    socket.on('close', () => {
      this.#count(open);
      this.#sockets.delete(open);
      cells.facts.open.value--;
      cells.facts.closed.with({ ...cells.facts.labels, errno: faultOf(socket) }).add();
    });
  }

  #count(open: Open): void {
    const { socket, cells } = open;
    const read = socket.bytesRead;
    // Undefined on a destroyed socket whose handle never connected.
    const written = socket.bytesWritten ?? open.written;
    cells.facts.read.value += Math.max(0, read - open.read);
    cells.facts.written.value += Math.max(0, written - open.written);
    open.read = Math.max(read, open.read);
    open.written = Math.max(written, open.written);
  }
}

/** System error that a closed socket ended with; empty for none. */
function faultOf(socket: Socket): string {
  const error: NodeJS.ErrnoException | null = socket.errored;
  return error === null ? '' : (error.code ?? 'unknown');
}

interface TransportFacts {
  readonly labels: Labels;
  readonly opened: Counter;
  readonly open: Gauge;
  readonly closed: Family<Counter>;
  readonly read: Counter;
  readonly written: Counter;
}

/** The cells of one label set. */
export class TransportCells {
  readonly facts: TransportFacts;
  readonly #metrics: TransportMetrics;

  constructor(metrics: TransportMetrics, facts: TransportFacts) {
    this.#metrics = metrics;
    this.facts = facts;
  }

  /** Counts this socket; it is a `SocketObserver`. */
  onSocket(socket: Socket): void {
    this.#metrics.follow(socket, this);
  }
}
