/**
 * The journal on disk: `snapshot.json` (one header line, then one object per line) and `journal.jsonl` (one write per
 * line since the snapshot).
 *
 * A write is handed to the kernel before the request is answered, so it survives the end of the process, not a power
 * cut. A torn last line, left by a kill in the middle of a write, was never answered and is cut off on load.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { MeshError } from '@mesh/errors/mesh-error';
import type { KubeObject } from './object.ts';

export type EventType = 'ADDED' | 'MODIFIED' | 'DELETED';

export interface JournalEntry {
  version: number;
  type: EventType;
  resource: string;
  key: string;
  object: KubeObject;
}

export interface JournalState {
  /** Version of the snapshot. */
  version: number;
  objects: { resource: string; object: KubeObject }[];
  entries: JournalEntry[];
}

export class Journal {
  readonly #directory: string;
  readonly #file: number;
  #entries = 0;
  /** Bytes of whole lines in the journal. */
  #size: number;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#file = openSync(join(directory, 'journal.jsonl'), 'a+', 0o600);
    this.#size = fstatSync(this.#file).size;
  }

  /** Lines since the last snapshot. */
  get entries(): number {
    return this.#entries;
  }

  /** @throws MeshError journal-corrupt when a line other than a torn last one cannot be read. */
  load(): JournalState {
    const state: JournalState = { version: 0, objects: [], entries: [] };
    const snapshot = join(this.#directory, 'snapshot.json');
    if (existsSync(snapshot)) {
      const [head, ...lines] = readFileSync(snapshot, 'utf8').trimEnd().split('\n');
      state.version = this.#parse<{ version: number }>(snapshot, 0, head ?? '').version;
      state.objects = lines.map((line, index) => this.#parse(snapshot, index + 1, line));
    }
    const path = join(this.#directory, 'journal.jsonl');
    const bytes = readFileSync(path);
    const whole = bytes.lastIndexOf(0x0a) + 1;
    if (whole < bytes.length) ftruncateSync(this.#file, whole);
    this.#size = whole;
    const lines = bytes.subarray(0, whole).toString('utf8').split('\n').slice(0, -1);
    for (const [index, line] of lines.entries()) {
      const entry = this.#parse<JournalEntry>(path, index, line);
      // A kill between the new snapshot and the cut of the journal leaves lines that the snapshot already holds.
      if (entry.version > state.version) state.entries.push(entry);
    }
    this.#entries = lines.length;
    return state;
  }

  /** Throws when the line cannot be written whole, as on a full disk; nothing of it is left then. */
  append(entry: JournalEntry): void {
    const line = Buffer.from(`${JSON.stringify(entry)}\n`);
    try {
      writeWhole(this.#file, line);
    } catch (thrown) {
      ftruncateSync(this.#file, this.#size);
      throw thrown;
    }
    this.#size += line.length;
    this.#entries++;
  }

  /**
   * Writes a snapshot of `objects` at `version` and starts the journal anew. When that fails the journal goes on to hold
   * everything, and the next snapshot is due after as many entries again.
   */
  compact(version: number, objects: Iterable<{ resource: string; object: KubeObject }>): void {
    this.#entries = 0;
    const next = join(this.#directory, 'snapshot.json.next');
    const file = openSync(next, 'w', 0o600);
    try {
      writeWhole(file, Buffer.from(`${JSON.stringify({ version })}\n`));
      for (const entry of objects) writeWhole(file, Buffer.from(`${JSON.stringify(entry)}\n`));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(next, join(this.#directory, 'snapshot.json'));
    ftruncateSync(this.#file, 0);
    this.#size = 0;
  }

  close(): void {
    closeSync(this.#file);
  }

  #parse<Value>(path: string, index: number, line: string): Value {
    try {
      return JSON.parse(line) as Value;
    } catch (cause) {
      throw new MeshError('journal-corrupt', `${path}: line ${index + 1} is not JSON`, {
        remedy: `Restore the file, or remove ${this.#directory} to start with an empty cluster.`,
        cause,
      });
    }
  }
}

/** A disk that is nearly full takes a part and says so, before it refuses the rest. */
function writeWhole(file: number, bytes: Buffer): void {
  for (let offset = 0; offset < bytes.length; ) offset += writeSync(file, bytes, offset);
}
