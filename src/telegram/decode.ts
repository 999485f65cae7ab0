/**
 * The lines of one whole telegram → typed fields. OBIS codes are matched as integers and numbers
 * read by hand: no strings, no regular expressions, since XS pays for each byte (MODDABLE,
 * "Language" 7). Line order and count are free (P1 6.12); unknown lines are passed over.
 */
import { IDENTIFIER_CHARACTERS_MAX, MBUS_CHANNELS_MAX, TELEGRAM_FAULTS_MAX, TEXT_MESSAGE_CHARACTERS_MAX } from "../constants.js";
import {
  OPEN, Scanner, UNIT_A, UNIT_GJ, UNIT_KW, UNIT_KWH, UNIT_M3, UNIT_NONE, UNIT_V, UNIT_W, UNIT_WH,
} from "./scanner.js";
import { clearTelegram, emptyTelegram, type EnergyRegisters, type FieldRule, type TelegramFields } from "./telegram.js";
import { CachedText, closingBracket, identifierText, latin1, messageText } from "./text.js";
import { timestampWithoutLetter } from "./timestamp.js";

const CR = 13;
const LF = 10;

export class TelegramDecoder {
  /** Written anew by each decode(). */
  readonly telegram: TelegramFields;
  private readonly scanner: Scanner;
  private bytes: Uint8Array;
  private end: number;
  /** M-Bus channel whose value stands on the next line (DSMR 2.2, 3.0), with its unit; -1 = none. */
  private pendingChannel: number;
  private pendingUnit: number;
  /** Faults on M-Bus lines are a device's habit, not the line's noise. */
  private inMBus: boolean;
  private readonly identification: CachedText;
  private readonly equipment: CachedText;
  private readonly code: CachedText;
  private readonly message: CachedText;
  private readonly devices: CachedText[];

  constructor() {
    this.telegram = emptyTelegram();
    this.scanner = new Scanner();
    this.bytes = this.telegram.bytes;
    this.end = 0;
    this.pendingChannel = -1;
    this.pendingUnit = UNIT_NONE;
    this.inMBus = false;
    this.identification = new CachedText(IDENTIFIER_CHARACTERS_MAX);
    this.equipment = new CachedText(IDENTIFIER_CHARACTERS_MAX);
    this.code = new CachedText(IDENTIFIER_CHARACTERS_MAX);
    this.message = new CachedText(2 * TEXT_MESSAGE_CHARACTERS_MAX);
    this.devices = [];
    for (let i = 0; i < MBUS_CHANNELS_MAX; i++) this.devices.push(new CachedText(IDENTIFIER_CHARACTERS_MAX));
  }

  /** A text message that comes again counts as changed once more. */
  forgetMessage(): void {
    this.message.forget();
  }

  /**
   * `bytes[start]` is the `/`, `bytes[end]` the `!`. The telegram's own `start`, `end`, `offset`
   * and `at` are its reader's to set; `offset` before the call, since faults are named with it.
   */
  decode(bytes: Uint8Array, start: number, end: number, offset: number): TelegramFields {
    const t = this.telegram;
    clearTelegram(t);
    t.bytes = this.bytes = this.scanner.bytes = bytes;
    t.start = start;
    t.end = end;
    t.offset = offset;
    this.end = end;
    this.pendingChannel = -1;
    let p = this.identificationLine(start);
    while (p < end) {
      const byte = bytes[p]!;
      if (byte === CR || byte === LF) {
        p++;
        continue;
      }
      this.scanner.position = p;
      if (byte === OPEN) this.continuation(p + 1);
      else this.line(p);
      p = this.scanner.position;
      if (bytes[p] === CR) p++;
      if (bytes[p] === LF) p++;
      else {
        p = bytes.indexOf(LF, p) + 1;
        if (p === 0) p = end;
      }
    }
    return t;
  }

  private identificationLine(start: number): number {
    const { bytes, end, identification: cache } = this;
    let lineEnd = bytes.indexOf(LF, start);
    if (lineEnd < 0 || lineEnd > end) lineEnd = end;
    const next = lineEnd + 1;
    if (bytes[lineEnd - 1] === CR) lineEnd--;
    const first = start + 1;
    const last = Math.min(lineEnd, first + cache.capacity);
    this.telegram.identification = cache.holds(bytes, first, last) ? cache.text : cache.keep(bytes, first, last, latin1(bytes, first, last));
    return next;
  }

  /** `A-B:C.D.E(…`: finds the code and hands the value on. */
  private line(p: number): void {
    const { bytes, scanner } = this;
    const medium = bytes[p]! - 48;
    const channel = bytes[p + 2]! - 48;
    if (medium < 0 || medium > 9 || bytes[p + 1] !== 0x2d || channel < 0 || channel > 9 || bytes[p + 3] !== 0x3a) return this.fault("bad_line", p);
    const c = scanner.group(p + 4);
    if (c < 0 || bytes[scanner.position] !== 0x2e) return this.fault("bad_line", scanner.position);
    const d = scanner.group(scanner.position + 1);
    if (d < 0 || bytes[scanner.position] !== 0x2e) return this.fault("bad_line", scanner.position);
    const e = scanner.group(scanner.position + 1);
    let value = scanner.position;
    if (bytes[value] === 0x2a) { // "*255": the F group, written out
      scanner.group(value + 1);
      value = scanner.position;
    }
    if (e < 0 || bytes[value] !== OPEN) return this.fault("bad_line", value);
    value++;

    this.inMBus = false;
    if (medium === 1 && channel === 0) this.electricity(c, d, e, value);
    else if (medium === 0 && channel === 0) this.general(c, d, e, value);
    else if (medium === 0 && channel <= MBUS_CHANNELS_MAX) {
      this.inMBus = true;
      this.mbus(channel - 1, c, d, e, value);
    } else if (medium === 1 && channel === 3 && c === 0 && d === 2 && e === 8) this.version(value);
    else this.telegram.unknownLines++;
  }

  // ---- 1-0: ----
  private electricity(c: number, d: number, e: number, p: number): void {
    const t = this.telegram;
    if (d === 7 && e === 0) {
      if (c >= 21 && c < 80) return this.perPhase(c, p);
      if (c === 1) t.power.import = this.once(t.power.import, this.watts(p), p);
      else if (c === 2) t.power.export = this.once(t.power.export, this.watts(p), p);
      else t.unknownLines++;
    } else if (d === 8 && (c === 1 || c === 2) && e <= 4) {
      this.register(c === 1 ? t.energy.import : t.energy.export, e, p);
    } else if ((d === 32 || d === 36) && e === 0 && (c === 32 || c === 52 || c === 72)) {
      const counts = d === 32 ? t.sags : t.swells;
      const phase = (c - 32) / 20;
      counts[phase] = this.once(counts[phase]!, this.count(p), p);
    } else if (d === 4 && e === 0 && c === 1) t.quarterAverage = this.once(t.quarterAverage, this.watts(p), p);
    else if (d === 4 && e === 0 && c === 31) t.fuse = this.once(t.fuse, this.milliamps(p), p);
    else if (d === 6 && e === 0 && c === 1) this.monthPeak(p);
    else if (d === 97 && e === 0 && c === 99) t.failureLogAt = p;
    else t.unknownLines++;
  }

  /** x1 current, x2 voltage (31, 32 …), 21 import, 22 export: 20 further for each phase. */
  private perPhase(c: number, p: number): void {
    const t = this.telegram;
    const phase = c < 40 ? 0 : c < 60 ? 1 : 2;
    const kind = c - 20 * phase;
    if (kind === 21) t.power.importPerPhase[phase] = this.once(t.power.importPerPhase[phase], this.watts(p), p);
    else if (kind === 22) t.power.exportPerPhase[phase] = this.once(t.power.exportPerPhase[phase], this.watts(p), p);
    else if (kind === 32) {
      const value = this.single(p);
      if (value >= 0) t.voltage[phase] = this.scanner.unit === UNIT_V ? this.once(t.voltage[phase], value, p) : this.badUnit();
    } else if (kind === 31) {
      const value = this.milliamps(p);
      if (value !== null && this.scanner.fraction) t.currentWhole = false;
      t.current[phase] = this.once(t.current[phase], value, p);
    } else t.unknownLines++;
  }

  private register(registers: EnergyRegisters, e: number, p: number): void {
    const value = this.single(p);
    if (value < 0) return;
    const unit = this.scanner.unit;
    const wattHours = unit === UNIT_KWH ? value : unit === UNIT_WH ? Math.trunc(value / 1000) : this.badUnit();
    if (e === 0) registers.total = this.once(registers.total, wattHours, p);
    else registers.tariff[e - 1] = this.once(registers.tariff[e - 1]!, wattHours, p);
  }

  /** (time)(power), or swapped as one Fluvius firmware has it (P1-Dongel-ESP32#87). */
  private monthPeak(p: number): void {
    const { scanner, bytes, telegram: { monthPeak } } = this;
    for (let bracket = 0; bracket < 2; bracket++) {
      if (scanner.isTimestamp(p)) {
        monthPeak.time = scanner.time(p);
        if (monthPeak.time === null) this.fault("bad_date", p);
      } else {
        const value = scanner.quantity(p);
        if (value < 0) return this.badQuantity(value);
        monthPeak.power = this.once(monthPeak.power, this.wattsOf(value), p);
      }
      if (bytes[scanner.position] !== OPEN) break;
      p = scanner.position + 1;
    }
  }

  // ---- 0-0: and 1-3: ----
  private general(c: number, d: number, e: number, p: number): void {
    const { telegram: t, scanner } = this;
    if (c === 96) {
      if (d === 13 && e === 0) this.textMessage(p);
      else if (d === 13 && e === 1) t.code = this.text(this.code, p, true);
      else if (d === 1 && (e === 0 || e === 1)) t.equipmentId = this.text(this.equipment, p, false);
      else if (d === 1 && e === 4) this.version(p);
      else if (d === 14 && e === 0) t.tariff = this.once(t.tariff, this.count(p), p);
      else if (d === 7 && e === 21) t.failures = this.once(t.failures, this.count(p), p);
      else if (d === 7 && e === 9) t.longFailures = this.once(t.longFailures, this.count(p), p);
      else if (d === 3 && e === 10) t.breaker = this.once(t.breaker, this.count(p), p);
      else t.unknownLines++;
    } else if (c === 1 && d === 0 && e === 0) {
      const time = scanner.isTimestamp(p) ? scanner.time(p) : null;
      if (time === null) this.fault("bad_date", p);
      else t.time = this.once(t.time, time, p);
    } else if (c === 17 && d === 0 && e === 0) {
      const value = this.single(p);
      if (value < 0) return;
      if (scanner.unit === UNIT_A) t.limiterCurrent = this.once(t.limiterCurrent, value, p);
      else t.limiterPower = this.once(t.limiterPower, this.wattsOf(value), p);
    } else if (c === 98 && d === 1 && e === 0) t.monthPeaksAt = p;
    else if (c === 42 && d === 0 && e === 0) {
      // The logical device name stands in where a meter has no 96.1.x (Luxembourg).
      if (t.equipmentId === null) t.equipmentId = this.text(this.equipment, p, false);
    } else t.unknownLines++;
  }

  private version(p: number): void {
    const t = this.telegram;
    t.version = this.once(t.version, this.count(p), p);
  }

  private textMessage(p: number): void {
    const { bytes, message: cache, telegram: { message } } = this;
    const close = closingBracket(bytes, p, this.end);
    if (close < 0) return this.fault("bad_structure", p);
    this.scanner.position = close + 1;
    if (!this.lineEnds()) return;
    if (cache.holds(bytes, p, close)) {
      message.text = cache.text;
      return;
    }
    if (close - p > cache.capacity) return this.fault("too_long", p + cache.capacity);
    const text = messageText(bytes, p, close);
    if (typeof text === "number") {
      this.scanner.position = p; // the bracket may have been that of a later line
      return this.fault("bad_hex", text);
    }
    message.text = cache.keep(bytes, p, close, text);
    message.changed = true;
  }

  /** A short text, decoded once. Null where it is empty (`emptyToo`: then ""). */
  private text(cache: CachedText, p: number, emptyToo: boolean): string | null {
    const { bytes, scanner } = this;
    const close = scanner.closing(p);
    if (close < 0) {
      this.fault("bad_structure", p);
      return null;
    }
    scanner.position = close + 1;
    if (close === p) return emptyToo ? "" : null;
    if (cache.holds(bytes, p, close)) return cache.text;
    if (close - p > cache.capacity) {
      this.fault("too_long", p + cache.capacity);
      return null;
    }
    return cache.keep(bytes, p, close, identifierText(bytes, p, close));
  }

  // ---- 0-1: to 0-4: ----
  private mbus(channel: number, c: number, d: number, e: number, p: number): void {
    const device = this.telegram.mbus[channel]!;
    if (c === 24 && d === 2 && (e === 1 || e === 3)) this.mbusReading(channel, p);
    else if (c === 24 && d === 3 && e === 0) this.mbusOldReading(channel, p);
    else if (c === 24 && d === 1 && e === 0) device.type = this.count(p);
    else if (c === 96 && d === 1 && (e === 0 || e === 1)) device.id = this.text(this.devices[channel]!, p, false);
    else this.telegram.unknownLines++; // valve position and the like
  }

  /** (time)(value*unit) */
  private mbusReading(channel: number, p: number): void {
    const { scanner, bytes, telegram } = this;
    const device = telegram.mbus[channel]!;
    if (scanner.isTimestamp(p)) {
      device.time = scanner.time(p);
      if (device.time === null) this.fault("bad_date", p);
      if (bytes[scanner.position] !== OPEN) return this.fault("bad_structure", scanner.position);
      p = scanner.position + 1;
    }
    const value = this.single(p);
    if (value >= 0) this.mbusValue(channel, value, scanner.unit);
  }

  /** DSMR 2.2 and 3.0: (time)(00)(60)(1)(0-n:24.2.1)(unit), the value alone on the next line. */
  private mbusOldReading(channel: number, p: number): void {
    const { scanner, bytes, telegram } = this;
    const close = scanner.closing(p);
    const time = close === p + 12 ? timestampWithoutLetter(bytes, p) : null;
    telegram.mbus[channel]!.time = time;
    if (time === null) this.fault("bad_date", p);
    let unit = p;
    for (let at = close; at >= 0 && bytes[at + 1] === OPEN; at = scanner.closing(unit)) unit = at + 2;
    this.pendingUnit = scanner.unitAt(unit);
    this.pendingChannel = channel;
  }

  private continuation(p: number): void {
    const channel = this.pendingChannel;
    this.pendingChannel = -1;
    if (channel < 0) return this.fault("bad_line", p - 1);
    this.inMBus = true;
    const value = this.single(p);
    if (value >= 0) this.mbusValue(channel, value, this.pendingUnit);
  }

  private mbusValue(channel: number, value: number, unit: number): void {
    const device = this.telegram.mbus[channel]!;
    if (unit === UNIT_M3) device.unit = "l";
    else if (unit === UNIT_GJ) device.unit = "MJ";
    else if (unit === UNIT_KWH || unit === UNIT_WH) device.unit = "Wh";
    else return void this.badUnit();
    device.value = unit === UNIT_WH ? Math.trunc(value / 1000) : value;
  }

  // ---- values ----
  /** `quantity` and the end of the line; -1 after the fault was named. */
  private single(p: number): number {
    const value = this.scanner.quantity(p);
    if (value < 0) {
      this.badQuantity(value);
      return -1;
    }
    return this.lineEnds() ? value : -1;
  }

  private lineEnds(): boolean {
    const p = this.scanner.position;
    const byte = this.bytes[p];
    if (byte === CR || byte === LF) return true;
    this.fault("bad_structure", p);
    return false;
  }

  private watts(p: number): number | null {
    const value = this.single(p);
    return value < 0 ? null : this.wattsOf(value);
  }

  private wattsOf(value: number): number | null {
    const unit = this.scanner.unit;
    return unit === UNIT_KW ? value : unit === UNIT_W ? Math.trunc(value / 1000) : this.badUnit();
  }

  private milliamps(p: number): number | null {
    const value = this.single(p);
    return value < 0 ? null : this.scanner.unit === UNIT_A ? value : this.badUnit();
  }

  /** A whole number without a unit. */
  private count(p: number): number | null {
    const value = this.single(p);
    if (value < 0) return null;
    if (this.scanner.unit !== UNIT_NONE) return this.badUnit();
    if (this.scanner.fraction) {
      this.fault("bad_number", p);
      return null;
    }
    return value / 1000;
  }

  /** One quantity has one value: a second, different one makes the telegram ambiguous. */
  private once(before: number | null, value: number | null, p: number): number | null {
    if (before === null || before === value) return value;
    if (value !== null) {
      this.telegram.ambiguous = true;
      this.fault("duplicate", p);
    }
    return before;
  }

  // ---- faults ----
  private badUnit(): null {
    this.fault("bad_unit", this.scanner.position);
    return null;
  }

  private badQuantity(value: number): void {
    this.fault(value === -1 ? "bad_number" : "bad_structure", this.scanner.position);
  }

  private fault(rule: FieldRule, p: number): void {
    const t = this.telegram;
    if (t.faults.length < TELEGRAM_FAULTS_MAX) t.faults.push({ rule, offset: t.offset + p - t.start });
    t.faultCount++;
    if (!this.inMBus && (rule === "bad_line" || rule === "bad_structure" || rule === "bad_number" || rule === "duplicate")) t.corruptCount++;
  }
}
