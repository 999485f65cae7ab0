/**
 * Bytes as they come from the line → whole, checked telegrams. Three states and a bounded buffer:
 *
 *   idle ── "/" ──▶ telegram ── "!" at a line's start ──▶ crc ── 4 digits or line end ──▶ idle
 *
 * Overflow and errors end in idle. A telegram cut off before another `/` shows when its CRC fails:
 * then the last `/` held is tried as the start (IEC 62056-21 keeps `/` out of every value). So the
 * bytes of a good telegram are looked through once, and those of a bad one twice, never more.
 * Nothing here throws, and nothing is kept but one telegram.
 */
import { CRCLESS_TELEGRAMS_MIN, TELEGRAM_BYTES_MAX } from "../constants.js";
import type { Millis } from "../units.js";
import { crc16, crcX25 } from "../wire/crc16.js";
import { TelegramDecoder } from "./decode.js";
import { EncryptedFrames } from "./encrypted.js";
import type { FieldFault, Telegram } from "./telegram.js";
import { hexDigit } from "./text.js";

/**
 * "required": no telegram without a CRC. "none": DSMR 2.2 or 3.0, as configured. "auto": without
 * one only from a meter that has shown CRCLESS_TELEGRAMS_MIN well-formed telegrams of that shape in
 * a row, and never again once a CRC was seen on this port (`crcSeen` where that was before a reboot).
 * A CRC that is there must always be right.
 */
export type CrcPolicy = "required" | "none" | "auto";

export type TelegramRule = TelegramError["rule"];

export type TelegramError = {
  readonly kind: "error";
  /** Offset of the telegram's `/` in everything the reader was given. */
  readonly start: number;
  /** Offset of the byte at which the rule failed. */
  readonly offset: number;
  readonly at: Millis;
} & (
  | { readonly rule: "crc_mismatch"; readonly stated: number; readonly computed: number }
  /** Right as CRC-16/X-25 (a Holley meter, dsmr_parser#91). Refused: P1 asks for CRC-16/ARC. */
  | { readonly rule: "crc_x25" }
  | { readonly rule: "bad_crc_digits" }
  | { readonly rule: "no_crc" }
  /** Without a CRC every line must be well formed; this is the first that was not. */
  | { readonly rule: "malformed"; readonly fault: FieldFault | null }
  /** Another `/` came before the `!`. */
  | { readonly rule: "truncated" }
  /** Longer than the buffer. */
  | { readonly rule: "overflow" }
  /** Luxembourg's Smarty and others send DLMS frames under AES-128-GCM: not read here. */
  | { readonly rule: "encrypted" }
);

export type TelegramResult = { readonly kind: "telegram"; readonly telegram: Telegram } | TelegramError;

/** How often each rule refused, and what got through, since the reader was made. */
export interface TelegramCounts {
  telegrams: number;
  crc_mismatch: number;
  crc_x25: number;
  bad_crc_digits: number;
  no_crc: number;
  malformed: number;
  truncated: number;
  overflow: number;
  encrypted: number;
  /** Fields of accepted telegrams that could not be read. */
  faults: number;
  /** Bytes outside any telegram, line ends apart. */
  noise: number;
}

export interface TelegramReaderOptions {
  /** The caller's; its length bounds a telegram. Default: TELEGRAM_BYTES_MAX bytes of its own. */
  readonly buffer?: Uint8Array;
  readonly crc?: CrcPolicy;
  /** This meter has shown a right CRC before, in an earlier life of the controller. */
  readonly crcSeen?: boolean;
}

const IDLE = 0;
const TELEGRAM = 1;
const CRC = 2;
const ENCRYPTED = 3;

const SLASH = 0x2f;
const BANG = 0x21;
const CR = 13;
const LF = 10;
const CRC_DIGITS_MAX = 4;

export class TelegramReader {
  readonly counts: TelegramCounts;
  private readonly buffer: Uint8Array;
  private readonly policy: CrcPolicy;
  private readonly decoder: TelegramDecoder;
  private readonly encrypted: EncryptedFrames;
  private readonly result: { kind: "telegram"; telegram: Telegram };
  private sink: (result: TelegramResult) => void;
  private state: number;
  private length: number;
  /** Index of the `!` while in CRC. */
  private bang: number;
  /** Offset in the stream of buffer[0], and of the byte after the last one pushed. */
  private startOffset: number;
  private consumed: number;
  private at: Millis;
  private crcSeen: boolean;
  private crcless: { identification: string; equipmentId: string | null; count: number };

  constructor(options: TelegramReaderOptions = {}) {
    this.buffer = options.buffer ?? new Uint8Array(TELEGRAM_BYTES_MAX);
    this.policy = options.crc ?? "auto";
    this.decoder = new TelegramDecoder();
    this.encrypted = new EncryptedFrames();
    this.result = { kind: "telegram", telegram: this.decoder.telegram };
    this.sink = ignore;
    this.counts = {
      telegrams: 0, crc_mismatch: 0, crc_x25: 0, bad_crc_digits: 0, no_crc: 0, malformed: 0,
      truncated: 0, overflow: 0, encrypted: 0, faults: 0, noise: 0,
    };
    this.state = IDLE;
    this.length = this.bang = this.startOffset = this.consumed = this.at = 0;
    this.crcSeen = options.crcSeen ?? false;
    this.crcless = { identification: "", equipmentId: null, count: 0 };
  }

  /** True once a telegram with a right CRC came: from then on "auto" means "required". */
  get hasSeenCrc(): boolean {
    return this.crcSeen;
  }

  /**
   * The next bytes of the line, and when the last of them came. `onResult` is called for each
   * telegram or error that they complete, from within this call; the telegram is the reader's own
   * object, valid until `onResult` returns.
   */
  push(bytes: Uint8Array, at: Millis, onResult: (result: TelegramResult) => void): void {
    this.at = at;
    this.sink = onResult;
    const end = bytes.length;
    let p = 0;
    while (p < end) {
      if (this.state === TELEGRAM) p = this.collect(bytes, p);
      else if (this.state === CRC) p = this.collectCrc(bytes, p);
      else if (this.state === ENCRYPTED) p = this.passEncrypted(bytes, p);
      else p = this.seek(bytes, p);
    }
    this.consumed += end;
    this.sink = ignore;
  }

  /** The line has ended: a telegram whose CRC lacks only its line end is whole, any other truncated. */
  flush(at: Millis, onResult: (result: TelegramResult) => void): void {
    this.at = at;
    this.sink = onResult;
    if (this.state === CRC) this.finish();
    else if (this.state === TELEGRAM) this.refuse("truncated", this.length);
    this.state = IDLE;
    this.encrypted.reset();
    this.sink = ignore;
  }

  /** Forgets the bytes held, not what is known of the meter: the line's setting has changed. */
  reset(): void {
    this.state = IDLE;
    this.encrypted.reset();
  }

  /** The text message is given as changed once more when it next comes. */
  forgetMessage(): void {
    this.decoder.forgetMessage();
  }

  // ---- states: each takes bytes from p and returns where the next goes on ----
  private seek(bytes: Uint8Array, p: number): number {
    const end = bytes.length;
    for (; p < end; p++) {
      const byte = bytes[p]!;
      if (byte === SLASH) {
        this.begin(this.consumed + p);
        return p + 1;
      }
      if (byte === EncryptedFrames.FIRST) {
        this.encrypted.reset();
        this.state = ENCRYPTED;
        return p;
      }
      if (byte !== CR && byte !== LF) this.counts.noise++;
    }
    return p;
  }

  private begin(offset: number): void {
    this.state = TELEGRAM;
    this.startOffset = offset;
    this.buffer[0] = SLASH;
    this.length = 1;
  }

  /** Copies up to the next `!`: found natively, as is the copy. */
  private collect(bytes: Uint8Array, p: number): number {
    const buffer = this.buffer;
    const bang = bytes.indexOf(BANG, p);
    const stop = bang < 0 ? bytes.length : bang + 1;
    // Room is kept for the CRC's digits. The `!` itself always ends what the decoder scans.
    const room = buffer.length - CRC_DIGITS_MAX - this.length;
    if (stop - p > room) {
      if (room > 0) {
        buffer.set(bytes.subarray(p, p + room), this.length);
        this.length += room;
      }
      this.overflow();
      return p + room;
    }
    buffer.set(p === 0 && stop === bytes.length ? bytes : bytes.subarray(p, stop), this.length);
    this.length += stop - p;
    if (bang < 0) return stop;
    const before = buffer[this.length - 2]!;
    if (before === LF || before === CR) {
      this.bang = this.length - 1;
      this.state = CRC;
    }
    return stop;
  }

  /** Full. If another telegram begins in what is held, the one before it was cut off; else too long. */
  private overflow(): void {
    const inner = this.buffer.lastIndexOf(SLASH, this.length - 1);
    if (inner <= 0) return this.refuse("overflow", this.length);
    this.refuse("truncated", inner);
    this.keepFrom(inner);
    this.state = TELEGRAM;
  }

  /** Drops the bytes before `index`. */
  private keepFrom(index: number): void {
    this.buffer.copyWithin(0, index, this.length);
    this.length -= index;
    this.bang -= index;
    this.startOffset += index;
  }

  private collectCrc(bytes: Uint8Array, p: number): number {
    const byte = bytes[p]!;
    if (hexDigit(byte) >= 0) {
      this.buffer[this.length++] = byte;
      if (this.length - this.bang > CRC_DIGITS_MAX) this.finish();
      return p + 1;
    }
    if (byte === CR || byte === LF || byte === SLASH) {
      this.finish();
      return p; // a `/` begins the next; line ends are passed over
    }
    this.refuse("bad_crc_digits", this.length);
    return p + 1;
  }

  private passEncrypted(bytes: Uint8Array, p: number): number {
    const next = this.encrypted.pass(bytes, p);
    const { outcome, held } = this.encrypted;
    if (outcome === "header") {
      this.startOffset = this.consumed + next - held.length;
      this.refuse("encrypted", 0);
      this.state = ENCRYPTED; // its body is passed over
    } else if (outcome === "done") this.state = IDLE;
    else if (outcome === "other") {
      // Noise after all: what was held is looked through once more, its first byte apart.
      this.state = IDLE;
      this.counts.noise++;
      const again = held.slice(1, this.encrypted.count);
      this.encrypted.reset();
      const slash = again.indexOf(SLASH);
      this.counts.noise += slash < 0 ? again.length : slash;
      if (slash >= 0) {
        this.begin(this.consumed + next - again.length + slash);
        this.buffer.set(again.subarray(slash), 0);
        this.length = again.length - slash;
      }
    }
    return next;
  }

  // ---- the end of a telegram ----
  private finish(): void {
    this.state = IDLE;
    const { buffer } = this;
    if (this.length === this.bang + 1) return this.withoutCrc();
    let stated = 0;
    for (let i = this.bang + 1; i < this.length; i++) stated = stated * 16 + hexDigit(buffer[i]!);

    let computed = crc16(buffer, 0, this.bang + 1, 0);
    if (computed !== stated) {
      const inner = buffer.lastIndexOf(SLASH, this.bang);
      if (inner > 0 && crc16(buffer, inner, this.bang + 1, 0) === stated) {
        this.refuse("truncated", inner);
        this.keepFrom(inner);
        computed = stated;
      }
    }
    const { bang } = this;
    if (computed !== stated) {
      if (!this.crcSeen && crcX25(buffer, 0, bang + 1) === stated) return this.refuse("crc_x25", bang + 1);
      return this.report({ kind: "error", rule: "crc_mismatch", start: this.startOffset, offset: this.startOffset + bang + 1, at: this.at, stated, computed });
    }
    this.crcSeen = true;
    const t = this.decoder.decode(buffer, 0, bang, this.startOffset);
    t.crc = "checked";
    this.accept();
  }

  private withoutCrc(): void {
    if (this.policy === "required" || this.crcSeen && this.policy === "auto") return this.refuse("no_crc", this.bang);
    const inner = this.buffer.lastIndexOf(SLASH, this.bang);
    if (inner > 0) {
      this.refuse("truncated", inner);
      this.keepFrom(inner);
    }
    const t = this.decoder.decode(this.buffer, 0, this.bang, this.startOffset);
    if (t.corruptCount > 0 || t.power.import === null) {
      this.crcless.count = 0;
      this.decoder.forgetMessage();
      const fault = t.faults[0] ?? null;
      return this.report({ kind: "error", rule: "malformed", start: this.startOffset, offset: fault?.offset ?? this.startOffset, at: this.at, fault });
    }
    if (this.policy === "auto" && !this.knownWithoutCrc()) {
      this.decoder.forgetMessage();
      return this.refuse("no_crc", this.bang);
    }
    t.crc = "none";
    this.accept();
  }

  /** The shape of DSMR 2.2 and 3.0 (no version, clock or voltage), several times, from one meter. */
  private knownWithoutCrc(): boolean {
    const t = this.decoder.telegram;
    const seen = this.crcless;
    const oldShape = t.version === null && t.time === null && t.voltage[0] === null;
    const same = seen.identification === t.identification && seen.equipmentId === t.equipmentId;
    seen.count = !oldShape ? 0 : same ? Math.min(seen.count + 1, CRCLESS_TELEGRAMS_MIN) : 1;
    seen.identification = t.identification;
    seen.equipmentId = t.equipmentId;
    return seen.count >= CRCLESS_TELEGRAMS_MIN;
  }

  private accept(): void {
    const t = this.decoder.telegram;
    t.end = this.length;
    t.at = this.at;
    this.counts.telegrams++;
    this.counts.faults += t.faultCount;
    this.sink(this.result);
  }

  /** `index`: where in the buffer the rule failed. */
  private refuse(rule: Exclude<TelegramRule, "crc_mismatch" | "malformed">, index: number): void {
    this.report({ kind: "error", rule, start: this.startOffset, offset: this.startOffset + index, at: this.at });
  }

  private report(error: TelegramError): void {
    this.state = IDLE;
    this.counts[error.rule]++;
    this.sink(error);
  }
}

function ignore(): void {}
