import { maxWindow } from './frames.ts';

export interface ReceiveWindowOptions {
  /** What the peer may send ahead. */
  windowBytes: number;
  /** Bytes that may be owed before the window is only returned as readers take them. */
  owedBytes: number;
}

/**
 * The window a whole connection grants its peer (docs/flow-control.md): returned on arrival while its streams
 * together owe little, so that one slow reader cannot stop the others, and only by `consumed` above that.
 */
export class ReceiveWindow {
  readonly #windowBytes: number;
  readonly #owedLimit: number;
  #left = 65_535;
  #owed = 0;
  #withheld = 0;
  #returnable = 0;

  constructor({ windowBytes, owedBytes }: ReceiveWindowOptions) {
    this.#windowBytes = Math.min(windowBytes, maxWindow);
    this.#owedLimit = owedBytes;
    this.#returnable = Math.max(0, this.#windowBytes - this.#left);
  }

  /** Bytes delivered to readers and not consumed yet. */
  get owed(): number {
    return this.#owed;
  }

  /** Flow-controlled bytes arrived; false when the peer had no window for them. */
  arrived(bytes: number): boolean {
    this.#left -= bytes;
    return this.#left >= 0;
  }

  /** Of the bytes that arrived, these went to a reader. */
  delivered(bytes: number): void {
    this.#owed += bytes;
    const withhold = Math.max(0, this.#owed - this.#owedLimit);
    this.#returnable += bytes - (withhold - this.#withheld);
    this.#withheld = withhold;
  }

  /** Of the bytes that arrived, these went nowhere (padding, dead streams). */
  dropped(bytes: number): void {
    this.#returnable += bytes;
  }

  /** Readers took `bytes`. */
  consumed(bytes: number): void {
    this.#owed -= bytes;
    const withhold = Math.max(0, this.#owed - this.#owedLimit);
    this.#returnable += this.#withheld - withhold;
    this.#withheld = withhold;
  }

  /** The increment of a WINDOW_UPDATE that is due now, or 0; the window counts as granted from here on. */
  takeUpdate(): number {
    if (this.#returnable === 0 || this.#returnable * 2 < this.#windowBytes) return 0;
    return this.takeAll();
  }

  /** As `takeUpdate`, however little it is. */
  takeAll(): number {
    const increment = this.#returnable;
    this.#returnable = 0;
    this.#left += increment;
    return increment;
  }
}
