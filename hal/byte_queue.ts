/** Received bytes between the medium and `read()`: chunks are kept as they came, and copied once. */
export class ByteQueue {
  #chunks: Uint8Array[] = [];
  #head = 0;
  /** Bytes of the first chunk already taken. */
  #offset = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Keeps the view: the caller no longer writes to it. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#length += bytes.length;
  }

  /** Up to `count` bytes, all of them where no count is given, undefined where there are none. */
  take(count: number = this.#length): ArrayBuffer | undefined {
    const size = Math.min(Math.max(0, Math.trunc(count)), this.#length);
    if (size === 0) return undefined;
    const taken = new Uint8Array(size);
    let filled = 0;
    while (filled < size) {
      const chunk = this.#chunks[this.#head] as Uint8Array;
      const part = Math.min(size - filled, chunk.length - this.#offset);
      taken.set(chunk.subarray(this.#offset, this.#offset + part), filled);
      filled += part;
      this.#offset += part;
      if (this.#offset === chunk.length) {
        this.#head++;
        this.#offset = 0;
      }
    }
    this.#length -= size;
    if (this.#length === 0) {
      this.#chunks = [];
      this.#head = 0;
    } else if (this.#head > 64) {
      this.#chunks.splice(0, this.#head);
      this.#head = 0;
    }
    return taken.buffer;
  }
}

/** A copy that its maker may no longer change. */
export const copied = (data: ArrayBuffer | Uint8Array): Uint8Array<ArrayBuffer> =>
  data instanceof Uint8Array ? new Uint8Array(data) : new Uint8Array(data.slice(0));
