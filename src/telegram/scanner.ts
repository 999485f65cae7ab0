/**
 * Numbers, units and brackets of a telegram, read from its bytes. After each method `position` is
 * behind what was read, or on the byte that did not fit. The bytes must hold a `!` at their end: no
 * loop here passes it.
 */
import { timestamp } from "./timestamp.js";

export const OPEN = 0x28;
export const CLOSE = 0x29;
const STAR = 0x2a;
const DOT = 0x2e;

export const UNIT_NONE = 0;
export const UNIT_W = 1;
export const UNIT_KW = 2;
export const UNIT_WH = 3;
export const UNIT_KWH = 4;
export const UNIT_V = 5;
export const UNIT_A = 6;
export const UNIT_S = 7;
export const UNIT_M3 = 8;
export const UNIT_GJ = 9;
export const UNIT_OTHER = 10;

/** Longest run of digits: eight before the point and three behind stay exact in any engine. */
const DIGITS_MAX = 12;

export class Scanner {
  bytes: Uint8Array;
  position: number;
  /** Of the last quantity(). */
  unit: number;
  fraction: boolean;

  constructor() {
    this.bytes = new Uint8Array(0);
    this.position = 0;
    this.unit = UNIT_NONE;
    this.fraction = false;
  }

  /** Up to three digits at p, as in an OBIS code; -1 where there is none. */
  group(p: number): number {
    const bytes = this.bytes;
    let digit = bytes[p]! - 48;
    if (digit < 0 || digit > 9) {
      this.position = p;
      return -1;
    }
    let value = digit;
    const end = p + 3;
    while (++p < end) {
      digit = bytes[p]! - 48;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    this.position = p;
    return value;
  }

  /**
   * A decimal at p in thousandths, further decimals cut off; -1 where it is none. By hand, because
   * what parses "0x.417" or "1e3" must not stand between a meter and a fuse.
   */
  decimal(p: number): number {
    const bytes = this.bytes;
    const first = p;
    let value = 0;
    let byte = bytes[p]!;
    while (byte >= 48 && byte <= 57) {
      value = value * 10 + byte - 48;
      byte = bytes[++p]!;
    }
    this.fraction = false;
    let scale = 1000;
    if (byte === DOT && p !== first) {
      this.fraction = true;
      const point = p;
      byte = bytes[++p]!;
      while (byte >= 48 && byte <= 57) {
        if (scale > 1) {
          value = value * 10 + byte - 48;
          scale /= 10;
        }
        byte = bytes[++p]!;
      }
      if (p === point + 1) scale = 0;
    }
    this.position = p;
    return p === first || scale === 0 || p - first > DIGITS_MAX + 1 ? -1 : value * scale;
  }

  /** `decimal[*unit])` behind an opening bracket; -1: no number, -2: no closing bracket. Sets unit. */
  quantity(p: number): number {
    const value = this.decimal(p);
    if (value < 0) return -1;
    const bytes = this.bytes;
    p = this.position;
    let unit = UNIT_NONE;
    if (bytes[p] === STAR) {
      unit = this.unitAt(p + 1);
      p = this.position;
    }
    this.unit = unit;
    if (bytes[p] !== CLOSE) return unit === UNIT_NONE ? -1 : -2;
    this.position = p + 1;
    return value;
  }

  /** The unit at p; `position` is then on what follows it. */
  unitAt(p: number): number {
    const bytes = this.bytes;
    let unit = UNIT_OTHER;
    let byte = bytes[p]!;
    let length = 1;
    if (byte === 0x6b || byte === 0x4b) { // k
      byte = bytes[p + 1]!;
      if (byte === 0x57 || byte === 0x77) {
        const hour = bytes[p + 2] === 0x68 || bytes[p + 2] === 0x48;
        unit = hour ? UNIT_KWH : UNIT_KW;
        length = hour ? 3 : 2;
      }
    } else if (byte === 0x57) {
      const hour = bytes[p + 1] === 0x68;
      unit = hour ? UNIT_WH : UNIT_W;
      length = hour ? 2 : 1;
    } else if (byte === 0x56) unit = UNIT_V;
    else if (byte === 0x41) unit = UNIT_A;
    else if (byte === 0x73) unit = UNIT_S;
    else if (byte === 0x6d) { // m3, m³ as one byte of Latin-1 or two of UTF-8
      const next = bytes[p + 1]!;
      if (next === 0x33 || next === 0xb3) { unit = UNIT_M3; length = 2; }
      else if (next === 0xc2 && bytes[p + 2] === 0xb3) { unit = UNIT_M3; length = 3; }
    } else if (byte === 0x47 && bytes[p + 1] === 0x4a) { unit = UNIT_GJ; length = 2; }

    if (unit !== UNIT_OTHER && bytes[p + length] === CLOSE) {
      this.position = p + length;
      return unit;
    }
    // A unit that is not ours: pass its letters, so that the bracket behind it is found.
    for (byte = bytes[p]!; byte > 0x20 && byte !== OPEN && byte !== CLOSE && byte !== 0x21; byte = bytes[++p]!);
    this.position = p;
    return UNIT_OTHER;
  }

  /** True where a bracket at p holds 13 characters that end in S or W: a timestamp, right or wrong. */
  isTimestamp(p: number): boolean {
    const bytes = this.bytes;
    return bytes[p + 13] === CLOSE && (bytes[p + 12] === 0x53 || bytes[p + 12] === 0x57);
  }

  /** `YYMMDDhhmmssX)` at p; null: no date. Call after isTimestamp. */
  time(p: number): number | null {
    this.position = p + 14;
    return timestamp(this.bytes, p);
  }

  /** Position of the closing bracket of the value at p, or -1 where the line ends before it. */
  closing(p: number): number {
    const bytes = this.bytes;
    for (let byte = bytes[p]!; byte !== CLOSE; byte = bytes[++p]!) {
      if (byte === 10 || byte === 13 || byte === 0x21) return -1;
    }
    return p;
  }
}
