import { maxWindow } from './frames.ts';
import type { Http2Limits } from './limits.ts';
import type { WindowBudget } from './window-budget.ts';

export interface ReceiveWindowOptions {
  /** What the peer may send ahead. */
  windowBytes: number;
  /** Bytes that may be owed before the window is only returned as readers take them. */
  owedBytes: number;
  /** Where growth comes from, and what is owed by all connections; without it the window keeps its size. */
  budget: WindowBudget | undefined;
  /** Counts how often more than `owedBytes` is owed. */
  limits?: Http2Limits;
}

/** Of a large window no more than this waits for its WINDOW_UPDATE. */
const mostWaiting = 524_288;

/**
 * The window a whole connection grants its peer (docs/flow-control.md): returned on arrival while its streams
 * together owe little, so that one slow reader cannot stop the others, and only by `consumed` above that.
 * It grows and shrinks with the windows of its streams. What was granted cannot be called back, so that a smaller
 * window is reached by returning less, and the budget gets back only what was really withheld.
 */
export class ReceiveWindow {
  readonly #owedLimit: number;
  readonly #budget: WindowBudget | undefined;
  #windowBytes: number;
  /** Part of the window that came from the budget. */
  #grown = 0;
  /** Part of that to be withheld from what arrives next. */
  #excess = 0;
  readonly #limits: Http2Limits | undefined;
  #left = 65_535;
  /** Of the bytes that are owed, these were returned on arrival: the peer may have sent others in their place. */
  #advanced = 0;
  /** And these are returned only when a reader takes them. */
  #withheld = 0;
  #returnable = 0;

  constructor({ windowBytes, owedBytes, budget, limits }: ReceiveWindowOptions) {
    this.#windowBytes = Math.min(windowBytes, maxWindow);
    this.#owedLimit = owedBytes;
    this.#budget = budget;
    this.#limits = limits;
    this.#returnable = Math.max(0, this.#windowBytes - this.#left);
  }

  /** Flow-controlled bytes arrived; false when the peer had no window for them. */
  arrived(bytes: number): boolean {
    this.#left -= bytes;
    return this.#left >= 0;
  }

  /** Of the bytes that arrived, these went to a reader. */
  delivered(bytes: number): void {
    const room = Math.min(bytes, this.#owedLimit - this.#advanced);
    const advanced = this.#budget === undefined ? room : this.#budget.advance(room);
    this.#advanced += advanced;
    if (advanced < bytes) {
      if (this.#withheld === 0 && room < bytes) this.#limits?.hit('http2_owed_bytes');
      this.#withheld += bytes - advanced;
    }
    this.#return(advanced);
  }

  /** Of the bytes that arrived, these went nowhere (padding, dead streams). */
  dropped(bytes: number): void {
    this.#return(bytes);
  }

  /** Readers took `bytes`. */
  consumed(bytes: number): void {
    const withheld = Math.min(bytes, this.#withheld);
    this.#withheld -= withheld;
    // A reader may take the rest of a stream when the connection is gone, and all was settled.
    const settled = Math.min(bytes - withheld, this.#advanced);
    this.#advanced -= settled;
    this.#budget?.settle(settled);
    this.#return(withheld);
  }

  /** Makes the window up to `bytes` larger, as far as the budget allows; returns by how much. */
  grow(bytes: number): number {
    if (this.#budget === undefined) return 0;
    const kept = Math.min(bytes, this.#excess);
    this.#excess -= kept;
    const taken = kept === bytes ? 0 : this.#budget.take(bytes - kept);
    this.#grown += taken;
    this.#windowBytes += taken;
    this.#returnable += taken;
    return kept + taken;
  }

  /** Makes the window smaller by `bytes` that `grow` added. */
  shrink(bytes: number): void {
    this.#excess += bytes;
    const returnable = this.#returnable;
    this.#returnable = 0;
    this.#return(returnable);
  }

  /** The connection is gone, and with it all that its peer could have sent. */
  close(): void {
    this.#budget?.give(this.#grown);
    this.#budget?.settle(this.#advanced);
    this.#grown = 0;
    this.#excess = 0;
    this.#advanced = 0;
  }

  /** The increment of a WINDOW_UPDATE that is due now, or 0; the window counts as granted from here on. */
  takeUpdate(): number {
    // Of what is withheld the peer cannot be told: half of the rest is half of what it has.
    const dueAt = Math.min((this.#windowBytes - this.#withheld) / 2, mostWaiting);
    if (this.#returnable === 0 || this.#returnable < dueAt) return 0;
    return this.takeAll();
  }

  /** As `takeUpdate`, however little it is. */
  takeAll(): number {
    const increment = this.#returnable;
    this.#returnable = 0;
    this.#left += increment;
    return increment;
  }

  #return(bytes: number): void {
    if (this.#excess === 0) {
      this.#returnable += bytes;
      return;
    }
    const withheld = Math.min(bytes, this.#excess);
    this.#excess -= withheld;
    this.#grown -= withheld;
    this.#windowBytes -= withheld;
    this.#budget?.give(withheld);
    this.#returnable += bytes - withheld;
  }
}
