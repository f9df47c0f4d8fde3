/** Finds out which protocol a client speaks, and counts what was found and how long it took. */
import type { Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import type { Counter, Family, Histogram, Labels, MetricRegistry } from '@mesh/telemetry/metrics';
import { type DetectedProtocol, judgeProtocol } from '@mesh/transport/detect';
import { readFirstBytes, type Undecided } from './first-bytes.ts';

/** What came of looking: a protocol, or why none was found. A metric label, so the set is closed. */
export type DetectResult = DetectedProtocol | Undecided;

/** The first bytes of clients come with the connection or a round trip later; the longest wait is the timeout. */
const bucketsMs = [1, 5, 10, 50, 100, 500, 1000, 5000, 10_000, 60_000];

export class DetectMetrics {
  readonly #results: Family<Counter>;
  readonly #times: Family<Histogram>;

  constructor(registry: MetricRegistry) {
    this.#results = registry.counter(
      'mesh_detect_total',
      'Connections whose first bytes were looked at, by result; timeout: nothing decisive came in time.',
    );
    this.#times = registry.histogram(
      'mesh_detect_ms',
      'How long the first bytes took to decide, milliseconds.',
      bucketsMs,
    );
  }

  /** `labels`: direction, and whether it is before or inside TLS. */
  cells(labels: Labels): DetectCells {
    return new DetectCells(labels, this.#results, this.#times.with(labels));
  }
}

/** The cells of one place where first bytes are looked at. */
export class DetectCells {
  readonly #labels: Labels;
  readonly #family: Family<Counter>;
  readonly #results: Map<DetectResult, Counter> = new Map();
  readonly #times: Histogram;

  constructor(labels: Labels, family: Family<Counter>, times: Histogram) {
    this.#labels = labels;
    this.#family = family;
    this.#times = times;
  }

  count(result: DetectResult, ms: number): void {
    let cell = this.#results.get(result);
    if (cell === undefined) {
      cell = this.#family.with({ ...this.#labels, result });
      this.#results.set(result, cell);
    }
    cell.value++;
    this.#times.observe(ms);
  }
}

export interface DetectOptions {
  clock: Clock;
  /** How long to wait for decisive bytes; afterwards the connection is opaque. Usually 10 s. */
  timeoutMs: number;
  cells: DetectCells;
  /** `closed`: the client went away. `rest`: as of `readFirstBytes`. */
  done: (protocol: DetectedProtocol | 'closed', rest: Buffer | undefined) => void;
}

/** `socket` must be paused and without `data` listeners; it is left so, with its bytes back in it. */
export function detectProtocol(socket: Socket, { clock, timeoutMs, cells, done }: DetectOptions): void {
  readFirstBytes<DetectedProtocol>(socket, {
    clock,
    timeoutMs,
    judge: judgeProtocol,
    done: (found, { rest, ms }) => {
      cells.count(found, ms);
      done(found === 'timeout' || found === 'ended' ? 'opaque' : found, rest);
    },
  });
}
