/** What npm mqtt-packet asks of Node's `buffer`, over Uint8Array. Strings are UTF-8. */
type Source = string | ArrayLike<number> | ArrayBuffer;

// Without Uint8Array's own static side, whose `from` has another signature.
const Bytes: { new (size: number): Uint8Array<ArrayBuffer>; new (buffer: ArrayBuffer, offset?: number, length?: number): Uint8Array<ArrayBuffer> } = Uint8Array;

export class Buffer extends Bytes {
  static from(source: Source): Buffer {
    if (typeof source === "string") return view(new TextEncoder().encode(source));
    return source instanceof ArrayBuffer ? new Buffer(source) : copy(source);
  }
  static alloc(size: number): Buffer { return new Buffer(size); }
  static allocUnsafe(size: number): Buffer { return new Buffer(size); }
  static byteLength(value: string | Uint8Array): number { return typeof value === "string" ? utf8Length(value) : value.byteLength; }
  static isBuffer(value: unknown): boolean { return value instanceof Uint8Array; }

  writeUInt8(value: number, at: number): number {
    this[at] = value;
    return at + 1;
  }
  writeUInt16BE(value: number, at: number): number {
    this[at] = value >>> 8;
    this[at + 1] = value;
    return at + 2;
  }
  writeUInt32BE(value: number, at: number): number {
    this[at] = value >>> 24;
    this[at + 1] = value >>> 16;
    this[at + 2] = value >>> 8;
    this[at + 3] = value;
    return at + 4;
  }
}

function copy(source: ArrayLike<number>): Buffer {
  const bytes = new Buffer(source.length);
  for (let i = 0; i < source.length; i++) bytes[i] = source[i]!;
  return bytes;
}

const view = (bytes: Uint8Array): Buffer => new Buffer(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);

/** Without encoding it: a length is asked for before each string is written. */
function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x1_0000 ? 3 : 4;
  }
  return length;
}
