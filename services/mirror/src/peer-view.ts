/**
 * What one peer exports, from its event stream: a pure state machine, so that every order of events can be tested.
 *
 * Rules: nothing is removed before SnapshotEnd; a snapshot whose count disagrees is no snapshot; a
 * snapshot that loses more than half of what was known is held for `holdMs` before its removals count; a gap in the
 * sequence ends the stream, because something was missed.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type Event,
  type Export,
  ExportSchema,
} from '@mesh/control-api/gen/mesh/federation/v1/federation_pb';
import { refKey } from '@mesh/kube/objects';
import { importLimits } from '@mesh/multicluster/limits';
import type { LinkFault } from './link-reasons.ts';

export const protocolVersion = 1;
/** How long a snapshot that loses more than half is held before its removals count. */
export const shrinkHoldMs = 60_000;

export interface StreamFault {
  reason: LinkFault;
  message: string;
}

export interface Changes {
  /** Keys (`namespace/name`) whose record changed, appeared or went. */
  keys: readonly string[];
  fault: StreamFault | undefined;
}

interface PeerViewOptions {
  cluster: string;
  maxExports: number;
  /** Keys of imports that exist as objects from an earlier run: a first snapshot is measured against them. */
  known?: Iterable<string>;
}

const maxBytes = importLimits.import_bytes.default;

const none: Changes = { keys: [], fault: undefined };

export class PeerView {
  readonly #cluster: string;
  readonly #maxExports: number;
  /** Encoded, so that what they take is known: parsed, two bytes may be an object. */
  readonly #exports: Map<string, Uint8Array> = new Map();
  #bytes = 0;
  /** From an earlier run and not confirmed yet; empty after the first snapshot. */
  readonly #unconfirmed: Set<string>;
  /** The running snapshot: keys it brought, and keys known before it. */
  #snapshot: { seen: Set<string>; before: ReadonlySet<string> } | undefined;
  /** Removals of suspicious snapshots, and when each may count. */
  readonly #held: Map<string, number> = new Map();
  #synced = false;
  /** What an earlier run left is too old to be kept for a snapshot that does not come. */
  #forgotten = false;
  #sequence: bigint | undefined;
  #epoch: bigint | undefined;

  constructor({ cluster, maxExports, known = [] }: PeerViewOptions) {
    this.#cluster = cluster;
    this.#maxExports = maxExports;
    this.#unconfirmed = new Set(known);
  }

  /** A snapshot has been seen since this process started; only then may anything be removed. */
  get synced(): boolean {
    return this.#synced;
  }

  /** Removals that wait for the hold to pass. */
  get heldRemovals(): number {
    return this.#held.size;
  }

  /** Whether an import without a record must stay for now. */
  mustKeep(key: string): boolean {
    return (!this.#synced && !this.#forgotten) || this.#held.has(key);
  }

  get size(): number {
    return this.#exports.size;
  }

  /** Nothing is known of the peer, not even from an earlier run. */
  get empty(): boolean {
    return this.#exports.size === 0 && this.#unconfirmed.size === 0;
  }

  has(key: string): boolean {
    return this.#exports.has(key);
  }

  get(key: string): Export | undefined {
    const bytes = this.#exports.get(key);
    return bytes === undefined ? undefined : fromBinary(ExportSchema, bytes);
  }

  keys(): IterableIterator<string> {
    return this.#exports.keys();
  }

  /** A new stream begins; what is known stays until its snapshot is complete. */
  begin(): void {
    this.#sequence = undefined;
    this.#epoch = undefined;
    this.#snapshot = undefined;
  }

  receive(event: Event, nowMs: number): Changes {
    const gap = this.#checkSequence(event);
    if (gap !== undefined) return { keys: [], fault: gap };
    switch (event.event.case) {
      case 'hello':
        return this.#hello(event.event.value);
      case 'export':
        return this.#upsert(event.event.value);
      case 'removed':
        return this.#remove(refKey(event.event.value));
      case 'snapshotEnd':
        return this.#snapshotEnd(event.event.value.count, nowMs);
      default:
        // Beats, and what newer versions may add, only prove that the peer is there.
        return none;
    }
  }

  /** Lets held removals count once their time has come. Call now and then. */
  settle(nowMs: number): Changes {
    if (this.#held.size === 0) return none;
    const keys: string[] = [];
    for (const [key, untilMs] of this.#held) if (nowMs >= untilMs) keys.push(key);
    for (const key of keys) this.#forget(key);
    return { keys, fault: undefined };
  }

  /** Forgets everything, for data older than the stated maximum. */
  clear(): Changes {
    const keys = [...new Set([...this.#unconfirmed, ...this.#exports.keys()])];
    this.#exports.clear();
    this.#bytes = 0;
    this.#unconfirmed.clear();
    this.#held.clear();
    this.#forgotten = true;
    return { keys, fault: undefined };
  }

  #forget(key: string): boolean {
    this.#held.delete(key);
    this.#bytes -= this.#exports.get(key)?.length ?? 0;
    return this.#exports.delete(key);
  }

  #checkSequence({ epoch, seq }: Event): StreamFault | undefined {
    if (this.#epoch !== undefined && (epoch !== this.#epoch || seq !== (this.#sequence ?? 0n) + 1n)) {
      return {
        reason: 'SequenceGap',
        message: `event ${epoch}/${seq} came after ${this.#epoch}/${this.#sequence}; subscribing again`,
      };
    }
    this.#epoch = epoch;
    this.#sequence = seq;
    return undefined;
  }

  #hello({ protocol, cluster }: { protocol: number; cluster: string }): Changes {
    if (protocol !== protocolVersion) {
      const message = `cluster ${this.#cluster} speaks federation protocol ${protocol}, this one ${protocolVersion}; upgrade the older mesh`;
      return { keys: [], fault: { reason: 'ProtocolMismatch', message } };
    }
    if (cluster !== this.#cluster) {
      const message = `the gateway of Link ${this.#cluster} belongs to cluster ${JSON.stringify(cluster.slice(0, 80))}`;
      return { keys: [], fault: { reason: 'WrongCluster', message } };
    }
    this.#snapshot = { seen: new Set(), before: new Set([...this.#unconfirmed, ...this.#exports.keys()]) };
    return none;
  }

  #upsert(record: Export): Changes {
    const key = refKey(record);
    if (!this.#exports.has(key) && this.#full) {
      const message = `cluster ${this.#cluster} exports more than ${this.#maxExports} services; raise MESH_MIRROR_MAX_EXPORTS if that is meant`;
      return { keys: [], fault: { reason: 'TooManyExports', message } };
    }
    const bytes = toBinary(ExportSchema, record);
    const total = this.#bytes + bytes.length - (this.#exports.get(key)?.length ?? 0);
    if (total > maxBytes) {
      const message = `the exports of cluster ${this.#cluster} take more than ${maxBytes} bytes (import_bytes)`;
      return { keys: [], fault: { reason: 'TooManyExports', message } };
    }
    this.#bytes = total;
    this.#exports.set(key, bytes);
    this.#snapshot?.seen.add(key);
    this.#held.delete(key);
    return { keys: [key], fault: undefined };
  }

  /** What went while nobody listened is here until the snapshot ends, and takes no place of what came: but never more than once. */
  get #full(): boolean {
    const current = this.#snapshot?.seen.size ?? this.#exports.size - this.#held.size;
    return current >= this.#maxExports || this.#exports.size >= 2 * this.#maxExports;
  }

  #remove(key: string): Changes {
    this.#snapshot?.seen.delete(key);
    return this.#forget(key) ? { keys: [key], fault: undefined } : none;
  }

  #snapshotEnd(count: number, nowMs: number): Changes {
    const snapshot = this.#snapshot;
    if (snapshot === undefined || snapshot.seen.size !== count) {
      const message = `the snapshot announced ${count} exports and brought ${snapshot?.seen.size ?? 0}; nothing is removed`;
      return { keys: [], fault: { reason: 'BadSnapshot', message } };
    }
    const { seen, before } = snapshot;
    this.#snapshot = undefined;
    this.#unconfirmed.clear();
    this.#synced = true;
    const gone = [...before].filter((key) => !seen.has(key));
    if (gone.length * 2 > before.size) {
      // What an earlier one lost already waits from then on.
      for (const key of gone) if (!this.#held.has(key)) this.#held.set(key, nowMs + shrinkHoldMs);
      return none;
    }
    for (const key of gone) this.#forget(key);
    return { keys: gone, fault: undefined };
  }
}
