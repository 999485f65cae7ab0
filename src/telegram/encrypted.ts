/**
 * The frame of an encrypted P1 port (DLMS general-glo-ciphering, Luxembourg's Smarty):
 * DB 08, 8 bytes system title, 82 and two bytes of length, then that many bytes. It is recognised to
 * be refused by name and passed over as a whole: its bytes may hold any `/`.
 */
const HEADER = 13;

export class EncryptedFrames {
  static readonly FIRST = 0xdb;
  /** The header as far as it came. */
  readonly held: Uint8Array;
  count: number;
  /** After pass(): the header is whole, the body has ended, it was no frame, or more bytes are needed. */
  outcome: "header" | "done" | "other" | "more";
  private remaining: number;

  constructor() {
    this.held = new Uint8Array(HEADER);
    this.count = 0;
    this.outcome = "more";
    this.remaining = 0;
  }

  reset(): void {
    this.count = 0;
    this.remaining = 0;
  }

  /** Takes bytes from p; returns where the rest begins. */
  pass(bytes: Uint8Array, p: number): number {
    if (this.count === HEADER) {
      const taken = Math.min(this.remaining, bytes.length - p);
      this.remaining -= taken;
      this.outcome = this.remaining === 0 ? "done" : "more";
      return p + taken;
    }
    this.outcome = "more";
    while (p < bytes.length && this.count < HEADER) {
      const byte = bytes[p++]!;
      this.held[this.count++] = byte;
      if (this.count === 2 && byte !== 8 || this.count === 11 && byte !== 0x82) {
        this.outcome = "other";
        return p;
      }
    }
    if (this.count === HEADER) {
      this.remaining = this.held[11]! * 256 + this.held[12]!;
      this.outcome = "header";
    }
    return p;
  }
}
