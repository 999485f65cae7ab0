/** Telegrams as they arrive at the controller: which of them can be whole. A CRC of its own. */
import type { P1Version } from "../emulators/p1_telegram.js";

const BYTES_MAX = 16_384;

export class P1Watch {
  /** When a telegram that may be believed came last, and first since the last start; null = none. */
  last: number | null = null;
  first: number | null = null;
  readonly period: number;
  readonly #withCrc: boolean;
  #text = "";

  constructor(version: P1Version) {
    this.period = version === "5.0" || version === "BE" ? 1_000 : 10_000;
    this.#withCrc = version !== "2.2" && version !== "3.0";
  }

  reset(): void {
    this.last = null;
    this.first = null;
    this.#text = "";
  }

  bytes(now: number, bytes: Uint8Array): void {
    const piece = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(this.#withCrc ? "latin1" : "ascii");
    this.#text += piece;
    if (this.#text.length > BYTES_MAX) this.#text = this.#text.slice(-BYTES_MAX);
    if (!this.#text.includes("!", Math.max(0, this.#text.length - piece.length - 5))) return;
    for (let end = this.#text.indexOf("!"); end >= 0; end = this.#text.indexOf("!", end + 1)) {
      const closed = this.#withCrc ? this.#text.length >= end + 5 : this.#text.length >= end + 2;
      if (!closed) return;
      if (this.#whole(end)) {
        this.last = now;
        this.first ??= now;
      }
      // What cannot become whole any more is forgotten.
      if (this.#text.length > end + 7) {
        this.#text = this.#text.slice(end + 1);
        end = -1;
      }
    }
  }

  #whole(end: number): boolean {
    for (let start = this.#text.lastIndexOf("/", end); start >= 0; start = start === 0 ? -1 : this.#text.lastIndexOf("/", start - 1)) {
      if (!this.#withCrc) return true;
      if (crc(this.#text, start, end) === parseInt(this.#text.slice(end + 1, end + 5), 16)) return true;
    }
    return false;
  }
}

/** CRC-16, x^16 + x^15 + x^2 + 1, low bit first, from 0 (P1 5.2.2). */
function crc(text: string, start: number, end: number): number {
  let value = 0;
  for (let i = start; i <= end; i++) value = (value >> 8) ^ TABLE[(value ^ text.charCodeAt(i)) & 0xff]!;
  return value;
}

const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >> 1) ^ 0xa001 : value >> 1;
  return value;
});
