/** Texts of a telegram. Decoded once: while the same bytes come again, the same string is given. */
import { CLOSE } from "./scanner.js";

/** Codes at once for String.fromCharCode: XS aborts at some 300 arguments. */
const CODES_MAX = 128;

export class CachedText {
  private readonly raw: Uint8Array;
  private length: number;
  text: string;

  /** Up to `capacity` bytes as they stand in the telegram. */
  constructor(capacity: number) {
    this.raw = new Uint8Array(capacity);
    this.length = -1;
    this.text = "";
  }

  get capacity(): number {
    return this.raw.length;
  }

  /** True where `bytes[start … end - 1]` are what `text` was made from. */
  holds(bytes: Uint8Array, start: number, end: number): boolean {
    const length = end - start;
    if (length !== this.length) return false;
    const raw = this.raw;
    for (let i = 0; i < length; i++) if (raw[i] !== bytes[start + i]) return false;
    return true;
  }

  keep(bytes: Uint8Array, start: number, end: number, text: string): string {
    this.length = end - start;
    this.raw.set(bytes.subarray(start, end));
    this.text = text;
    return text;
  }

  forget(): void {
    this.length = -1;
    this.text = "";
  }
}

/** Bytes as they are, one character each. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let p = start; p < end; p += CODES_MAX) {
    text += String.fromCharCode.apply(null, bytes.subarray(p, Math.min(p + CODES_MAX, end)) as unknown as number[]);
  }
  return text;
}

function nibble(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 87 : -1;
}
export { nibble as hexDigit };

/** Pairs of hex digits to bytes, or the position of the first that is none. */
export function hexBytes(bytes: Uint8Array, start: number, end: number): Uint8Array | number {
  if ((end - start) % 2 !== 0) return end;
  const out = new Uint8Array((end - start) / 2);
  for (let p = start, i = 0; p < end; p += 2, i++) {
    const high = nibble(bytes[p]!);
    const low = nibble(bytes[p + 1]!);
    if (high < 0 || low < 0) return high < 0 ? p : p + 1;
    out[i] = high * 16 + low;
  }
  return out;
}

/** The text message: hex of characters; 0x00 and 0xFF at its end are a meter's filling, not text. */
export function messageText(bytes: Uint8Array, start: number, end: number): string | number {
  const decoded = hexBytes(bytes, start, end);
  if (typeof decoded === "number") return decoded;
  let length = decoded.length;
  while (length > 0 && (decoded[length - 1] === 0xff || decoded[length - 1] === 0)) length--;
  return latin1(decoded, 0, length);
}

/** An id: decoded where it is the hex of printable ASCII, else as it stands (Kaifa, WarmteLink). */
export function identifierText(bytes: Uint8Array, start: number, end: number): string {
  const decoded = hexBytes(bytes, start, end);
  if (typeof decoded !== "number" && decoded.length > 0 && decoded.every((byte) => byte >= 0x20 && byte < 0x7f)) {
    return latin1(decoded, 0, decoded.length);
  }
  return latin1(bytes, start, end);
}

/** Position of the closing bracket, natively: a text message is up to 2,048 digits long. -1: none. */
export function closingBracket(bytes: Uint8Array, from: number, end: number): number {
  const p = bytes.indexOf(CLOSE, from);
  return p < 0 || p >= end ? -1 : p;
}
