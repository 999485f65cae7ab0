/**
 * What mqtt-packet's parser asks of `bl`. services/mqtt_packet.ts hands it one whole packet at a
 * time, so nearly always there is one chunk and nothing is copied. Reads past the end throw, as
 * bl's do: that is how the parser learns that a packet is too short.
 */
class BufferList {
  #bytes: Uint8Array = new Uint8Array(0);

  get length(): number { return this.#bytes.length; }

  append(bytes: Uint8Array): this {
    if (this.#bytes.length === 0) {
      this.#bytes = bytes;
      return this;
    }
    const joined = new Uint8Array(this.#bytes.length + bytes.length);
    joined.set(this.#bytes);
    joined.set(bytes, this.#bytes.length);
    this.#bytes = joined;
    return this;
  }

  consume(count: number): this {
    this.#bytes = this.#bytes.subarray(Math.min(Math.max(0, count), this.#bytes.length));
    return this;
  }

  slice(from = 0, to = this.#bytes.length): Uint8Array { return this.#bytes.subarray(from, to); }

  toString(_encoding?: string, from = 0, to = this.#bytes.length): string {
    return new TextDecoder().decode(this.#bytes.subarray(from, to));
  }

  readUInt8(at: number): number {
    if (!(at >= 0 && at < this.#bytes.length)) throw new RangeError("read past the end");
    return this.#bytes[at]!;
  }
  readUInt16BE(at: number): number { return this.readUInt8(at) * 256 + this.readUInt8(at + 1); }
  readUInt32BE(at: number): number { return this.readUInt16BE(at) * 65_536 + this.readUInt16BE(at + 2); }
}

export const bl = (): BufferList => new BufferList();
