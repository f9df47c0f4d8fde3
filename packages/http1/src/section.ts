const nothing = Buffer.alloc(0);

/**
 * A head or trailer section, twice: as bytes to look at and as latin1 text to cut from. Byte `base + n` is character `n`.
 * Looking at single characters of a string that was just made costs several times as much as looking at bytes.
 */
export class Section {
  bytes: Buffer = nothing;
  base = 0;
  text = '';
  /** Offset in `text` behind the last line, which ends with CR LF. What follows belongs to nobody. */
  end = 0;

  set(bytes: Buffer, base: number, text: string, end: number): this {
    this.bytes = bytes;
    this.base = base;
    this.text = text;
    this.end = end;
    return this;
  }

  /** Lets go of bytes and text. */
  clear(): void {
    this.bytes = nothing;
    this.text = '';
  }
}
