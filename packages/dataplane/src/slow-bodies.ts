/**
 * Request bodies of one destination that hardly come, so that their places can be had when there are no others.
 *
 * A body may take as long as it likes: uploads over bad lines and streams of a client are slow for good reasons, and each
 * costs a bounded amount (docs/flow-control.md). What it also costs is one of the requests that may be in flight. So once
 * half of those are taken, a look per second finds bodies that bring less than a trickle, and when all are taken these end
 * before anyone else is turned away. The same goes for the connections to an endpoint, of which there are fewer: whoever has
 * to wait for one gets the place of a body that hardly comes.
 */
import type { LimitLedger } from '@mesh/limits/limits';
import type { Lane } from './lane.ts';
import type { DataplaneLimit } from './limits.ts';

const lookMs = 1000;

/** A request whose body is still coming and whose answer has not begun. */
export interface OpenBody {
  /** Bytes that came so far. */
  readonly bodyBytes: number;
  /** Whether the client is not the one who is waited for: what it sent has not been taken yet. */
  readonly heldBack: boolean;
  /** Whose connection it takes; undefined for none. */
  readonly lane: Lane | undefined;
  /** Where it stands among those that are followed, -1 for nowhere; only SlowBodies changes it. */
  place: number;
  /** Ends the request. */
  endSlow(): void;
}

interface Mark {
  readonly bytes: number;
  readonly at: number;
  readonly slow: boolean;
}

export class SlowBodies {
  readonly #limits: LimitLedger<DataplaneLimit>;
  /** Not a Set: see StreamTable of packages/http2, bodies come and go as often as streams. */
  readonly #open: OpenBody[] = [];
  /** What the last look found; only of bodies that are open. */
  readonly #marks: Map<OpenBody, Mark> = new Map();
  /** How many of them are slow: who is turned away must not cost a search through all of them. */
  #slow = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(limits: LimitLedger<DataplaneLimit>) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#open.length;
  }

  follow(body: OpenBody): void {
    if (!this.#has(body)) body.place = this.#open.push(body) - 1;
  }

  forget(body: OpenBody): void {
    const { place } = body;
    if (!this.#has(body)) return;
    body.place = -1;
    const last = this.#open.pop();
    if (last !== undefined && last !== body) {
      this.#open[place] = last;
      last.place = place;
    }
    if (this.#marks.size > 0) this.#mark(body, undefined);
  }

  #mark(body: OpenBody, mark: Mark | undefined): void {
    if (this.#marks.get(body)?.slow === true) this.#slow--;
    if (mark === undefined) this.#marks.delete(body);
    else this.#marks.set(body, mark);
    if (mark?.slow === true) this.#slow++;
  }

  #has(body: OpenBody): boolean {
    return body.place >= 0 && this.#open[body.place] === body;
  }

  /** To be called while places are short, as often as one likes. */
  look(now: number): void {
    if (now - this.#lookedAt < lookMs) return;
    this.#lookedAt = now;
    const { slow_body_ms: windowMs, slow_body_bytes_per_s: least } = this.#limits.values;
    for (const body of this.#open) {
      const mark = this.#marks.get(body);
      const passedMs = mark === undefined ? 0 : now - mark.at;
      // What was seen in an earlier time of need says nothing about now.
      if (mark === undefined || body.heldBack || passedMs >= 2 * windowMs) {
        this.#mark(body, { bytes: body.bodyBytes, at: now, slow: false });
      } else if (passedMs >= windowMs) {
        const slow = (body.bodyBytes - mark.bytes) * 1000 < least * passedMs;
        this.#mark(body, { bytes: body.bodyBytes, at: now, slow });
      }
    }
  }

  /** Ends those that were found slow, with `lane` up to `most` of those on its connections; false when there are none. */
  end(lane?: Lane, most = Number.POSITIVE_INFINITY): boolean {
    if (this.#slow === 0) return false;
    let ended = 0;
    for (const [body, { slow }] of this.#marks) {
      if (ended >= most) break;
      if (!slow || body.heldBack || (lane !== undefined && body.lane !== lane)) continue;
      this.#limits.hit('slow_body_bytes_per_s');
      ended++;
      body.endSlow();
    }
    return ended > 0;
  }
}
