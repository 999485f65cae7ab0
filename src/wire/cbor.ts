/**
 * A bounded reader of deterministic CBOR (RFC 8949 4.2.1) and nothing else: shortest heads, definite
 * lengths, map keys sorted and unique, no floats, no tags but the one the caller names, text in
 * printable ASCII, integers within 2^53. It builds no tree: the caller pulls the fields it knows.
 * No recursion, no property named by input, no copy of strings of bytes.
 */

export type CborFault =
  | "truncated" | "trailing bytes" | "indefinite length" | "reserved" | "not the shortest form" | "integer beyond 2^53"
  | "float" | "simple value" | "tag" | "too deep" | "key type" | "duplicate key" | "keys not sorted" | "text not ASCII"
  | "wrong type" | "negative" | "out of range" | "wrong length" | "unknown or missing key";

/** RFC 8949 3.1; 7 with the values 20, 21, 22 = false, true, null. */
export const CBOR_UINT = 0, CBOR_NEGATIVE = 1, CBOR_BYTES = 2, CBOR_TEXT = 3, CBOR_ARRAY = 4, CBOR_MAP = 5, CBOR_TAG = 6, CBOR_SIMPLE = 7;
const NULL_VALUE = 22;

/**
 * A cursor. The first fault sticks: from then on every method returns a harmless value (0, "", no
 * bytes) and moves nothing, so the caller asks for `fault` once at the end. `offset` is where it was.
 */
export class CborReader {
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;
  fault: CborFault | null = null;
  offset = 0;
  /** Of the head read last. `value`: the number, length, count, tag or simple value; -1 - value if negative. */
  major = 0;
  value = 0;

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  fail(fault: CborFault, offset: number = this.at): false {
    if (this.fault === null) {
      this.fault = fault;
      this.offset = offset;
    }
    return false;
  }

  /** Reads one head into `major` and `value`; what it announces is known to fit into the bytes. */
  head(): boolean {
    if (this.fault !== null) return false;
    const { bytes, end, at } = this;
    if (at >= end) return this.fail("truncated");
    const major = bytes[at]! >> 5, info = bytes[at]! & 31;
    if (info === 31) return this.fail("indefinite length");
    if (info > 27) return this.fail("reserved");
    let next = at + 1, value = info;
    if (major === CBOR_SIMPLE) {
      if (info >= 25) return this.fail("float");
      if (info < 20 || info > NULL_VALUE) return this.fail("simple value");
    } else if (info >= 24) {
      const width = 1 << (info - 24);
      if (end - next < width) return this.fail("truncated");
      let high = 0;
      value = 0;
      for (let i = 0; i < width; i++) {
        if (i === 4) { high = value; value = 0; }
        value = value * 256 + bytes[next + i]!;
      }
      if (width === 8 ? high === 0 : value < (width === 1 ? 24 : width === 2 ? 256 : 65_536)) return this.fail("not the shortest form");
      // -1 - (2^53 - 1) would be one beyond the safe integers.
      if (high > 0x1f_ffff || (major === CBOR_NEGATIVE && high === 0x1f_ffff && value === 0xffff_ffff)) return this.fail("integer beyond 2^53");
      value += high * 0x1_0000_0000;
      next += width;
    }
    const room = end - next;
    if ((major === CBOR_BYTES || major === CBOR_TEXT || major === CBOR_ARRAY) && value > room) return this.fail("truncated");
    if (major === CBOR_MAP && value > room / 2) return this.fail("truncated");
    this.major = major;
    this.value = value;
    this.at = next;
    return true;
  }

  /** 0 to `max`. */
  uint(max: number): number {
    const from = this.at;
    if (!this.head()) return 0;
    if (this.major !== CBOR_UINT) this.fail(this.major === CBOR_NEGATIVE ? "negative" : "wrong type", from);
    else if (this.value > max) this.fail("out of range", from);
    return this.fault === null ? this.value : 0;
  }

  uintOrNull(max: number): number | null {
    if (this.fault === null && this.bytes[this.at] === ((CBOR_SIMPLE << 5) | NULL_VALUE) && this.at < this.end) {
      this.at++;
      return null;
    }
    return this.uint(max);
  }

  /** A view, not a copy. */
  byteString(min: number, max: number): Uint8Array {
    const from = this.at;
    if (this.head()) {
      if (this.major !== CBOR_BYTES) this.fail("wrong type", from);
      else if (this.value < min || this.value > max) this.fail("wrong length", from);
      else this.at += this.value;
    }
    return this.fault === null ? this.bytes.subarray(this.at - this.value, this.at) : this.bytes.subarray(0, 0);
  }

  text(max: number): string {
    const from = this.at;
    if (!this.head()) return "";
    if (this.major !== CBOR_TEXT) return this.fail("wrong type", from) || "";
    if (this.value > max) return this.fail("wrong length", from) || "";
    let text = "";
    for (const end = this.at + this.value; this.at < end; this.at++) {
      if (!isPrintable(this.bytes[this.at]!)) return this.fail("text not ASCII") || "";
      text += String.fromCharCode(this.bytes[this.at]!);
    }
    return text;
  }

  /** The number of items that follow. */
  array(min: number, max: number): number {
    const from = this.at;
    if (!this.head()) return 0;
    if (this.major !== CBOR_ARRAY) this.fail("wrong type", from);
    else if (this.value < min || this.value > max) this.fail("wrong length", from);
    return this.fault === null ? this.value : 0;
  }

  /** A map of exactly `count` pairs. */
  map(count: number): void {
    const from = this.at;
    if (!this.head()) return;
    if (this.major !== CBOR_MAP) this.fail("wrong type", from);
    else if (this.value !== count) this.fail("unknown or missing key", from);
  }

  /** The integer key that must come here: sorted keys leave one place for each. */
  key(expected: number): void {
    const from = this.at;
    if (!this.head()) return;
    const found = this.major === CBOR_UINT ? this.value : this.major === CBOR_NEGATIVE ? -1 - this.value : null;
    if (found !== expected) this.fail("unknown or missing key", from);
  }

  tag(expected: number): void {
    const from = this.at;
    if (!this.head()) return;
    if (this.major !== CBOR_TAG || this.value !== expected) this.fail("tag", from);
  }
}

const isPrintable = (byte: number): boolean => byte >= 0x20 && byte < 0x7f;

export interface CborFaultAt { readonly fault: CborFault; readonly offset: number }

/**
 * Checks one item that fills [start, end) whole: every rule above, at most `depthMax` arrays and
 * maps inside each other. Null when it is good.
 */
export function checkCbor(bytes: Uint8Array, start: number, end: number, depthMax: number): CborFaultAt | null {
  const reader = new CborReader(bytes, start, end);
  // Per open container: items to come (a map's pairs count twice), and a map's previous key.
  const left: number[] = [], isMap: boolean[] = [], keyStart: number[] = [], keyEnd: number[] = [];
  let depth = 0;
  do {
    const from = reader.at, top = depth - 1;
    if (!reader.head()) break;
    const { major, value } = reader;
    const isKey = depth > 0 && isMap[top] === true && left[top]! % 2 === 0;
    if (major === CBOR_TAG) reader.fail("tag", from);
    else if (major === CBOR_BYTES) reader.at += value;
    else if (major === CBOR_TEXT) {
      for (const stop = reader.at + value; reader.at < stop; reader.at++) {
        if (!isPrintable(bytes[reader.at]!)) { reader.fail("text not ASCII"); break; }
      }
    }
    if (isKey) {
      if (major >= CBOR_ARRAY) { reader.fail("key type", from); break; }
      const order = keyStart[top]! < 0 ? -1 : compare(bytes, keyStart[top]!, keyEnd[top]!, from, reader.at);
      if (order >= 0) { reader.fail(order === 0 ? "duplicate key" : "keys not sorted", from); break; }
      keyStart[top] = from;
      keyEnd[top] = reader.at;
    }
    if (major === CBOR_ARRAY || major === CBOR_MAP) {
      if (depth === depthMax) { reader.fail("too deep", from); break; }
      if (value > 0) {
        left[depth] = major === CBOR_MAP ? value * 2 : value;
        isMap[depth] = major === CBOR_MAP;
        keyStart[depth] = -1;
        keyEnd[depth] = -1;
        depth++;
        continue;
      }
    }
    while (depth > 0) {
      const rest = left[depth - 1]! - 1;
      left[depth - 1] = rest;
      if (rest > 0) break;
      depth--;
    }
  } while (depth > 0 && reader.fault === null);
  if (reader.fault === null && reader.at !== end) reader.fail("trailing bytes");
  return reader.fault === null ? null : { fault: reader.fault, offset: reader.offset };
}

/** Bytewise lexicographic order of two keys' encodings; below 0 when the first comes first. */
function compare(bytes: Uint8Array, aStart: number, aEnd: number, bStart: number, bEnd: number): number {
  for (let a = aStart, b = bStart; a < aEnd && b < bEnd; a++, b++) {
    if (bytes[a] !== bytes[b]) return bytes[a]! - bytes[b]!;
  }
  return (aEnd - aStart) - (bEnd - bStart);
}

/** Bytes of the head of a string, array or map of this length or count (below 65,536). */
export const headLength = (value: number): number => (value < 24 ? 1 : value < 256 ? 2 : 3);

/** Writes that head; gives the offset after it. */
export function writeHead(into: Uint8Array, at: number, major: number, value: number): number {
  const length = headLength(value);
  into[at] = (major << 5) | (length === 1 ? value : 22 + length);
  if (length === 2) into[at + 1] = value;
  if (length === 3) {
    into[at + 1] = value >> 8;
    into[at + 2] = value & 0xff;
  }
  return at + length;
}
