/**
 * What one P1 telegram says, typed. Integers in thousandths of the meter's unit: W, Wh, mV, mA,
 * litres. Absent, or unreadable, is null; an unreadable field is also named in `faults`.
 * Source: DSMR 2.2, 3.0, 4.2, 5.0.2 P1 companion standards, 6.12; e-MUCS 1.7.1 (Belgium).
 */
import { MBUS_CHANNELS_MAX } from "../constants.js";
import type { EpochSeconds, Milliamps, Millis, Millivolts, WattHours, Watts } from "../units.js";

/** What a mutable telegram is to those who only read it: valid until the reader's next push. */
export type Telegram = DeepReadonly<TelegramFields>;
type DeepReadonly<T> = T extends number | string | boolean | null | Uint8Array ? T : T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

export type Phases<T> = [T | null, T | null, T | null];

export interface TelegramFields {
  /** Where the telegram's own bytes stand: `/` at start, the last CRC digit (or `!`) before end. */
  bytes: Uint8Array;
  start: number;
  end: number;
  /** Offset of the `/` in everything the reader was given. */
  offset: number;
  /** Arrival of its last byte. */
  at: Millis;
  /** "none" only from a meter that sends no CRC at all (DSMR 2.2, 3.0). */
  crc: "checked" | "none";
  identification: string;
  /** 1-3:0.2.8 (42, 50) or 0-0:96.1.4 (50217); null before DSMR 4. */
  version: number | null;
  time: EpochSeconds | null;
  /** The equipment's own id, decoded where it is the hex of printable ASCII. */
  equipmentId: string | null;
  /** NL: 1 = low, 2 = normal; BE: 1 = high, 2 = low. */
  tariff: number | null;
  energy: { import: EnergyRegisters; export: EnergyRegisters };
  power: {
    import: Watts | null;
    export: Watts | null;
    importPerPhase: Phases<Watts>;
    exportPerPhase: Phases<Watts>;
  };
  voltage: Phases<Millivolts>;
  /** As the meter says it: unsigned, also during export. */
  current: Phases<Milliamps>;
  /** No current carried a decimal point. */
  currentWhole: boolean;
  sags: Phases<number>;
  swells: Phases<number>;
  failures: number | null;
  longFailures: number | null;
  /** 0-0:96.13.0. `text` is "" where the field is empty, null where it is absent or unreadable. */
  message: { text: string | null; changed: boolean };
  /** 0-0:96.13.1, up to DSMR 4. */
  code: string | null;
  /** 0-0:96.3.10: 0 open, 1 closed, 2 ready to close. */
  breaker: number | null;
  /** 0-0:17.0.0, in W; some DSMR 3.0 meters give amperes. */
  limiterPower: Watts | null;
  limiterCurrent: Milliamps | null;
  /** 1-0:31.4.0. */
  fuse: Milliamps | null;
  /** 1-0:1.4.0: running mean of the quarter-hour (BE). */
  quarterAverage: Watts | null;
  /** 1-0:1.6.0: this month's peak (BE). */
  monthPeak: { power: Watts | null; time: EpochSeconds | null };
  mbus: MBusDevice[];
  /** Where the lists stand that are decoded only when asked for (lists.ts); -1 = absent. */
  failureLogAt: number;
  monthPeaksAt: number;
  /** Two lines gave one quantity different values: nothing here may be acted on. */
  ambiguous: boolean;
  /** Lines whose code is of no interest here. */
  unknownLines: number;
  /** The first TELEGRAM_FAULTS_MAX fields that could not be read. */
  faults: FieldFault[];
  faultCount: number;
  /** Faults that no well-made telegram has, as opposed to dates, units and ids of real meters' habits. */
  corruptCount: number;
}

export interface EnergyRegisters {
  /** x.8.0 */
  total: WattHours | null;
  /** x.8.1 to x.8.4 */
  tariff: [WattHours | null, WattHours | null, WattHours | null, WattHours | null];
}

export interface MBusDevice {
  /** 3 gas, 4 heat, 7 water, 2 a further electricity meter; null where the channel is absent. */
  type: number | null;
  id: string | null;
  /** The device's own last reading: litres, MJ or Wh. */
  value: number | null;
  unit: "l" | "MJ" | "Wh" | null;
  time: EpochSeconds | null;
}

export type FieldRule =
  | "bad_line" // no OBIS code and no value of the line before
  | "bad_structure" // brackets or line end missing
  | "bad_number"
  | "duplicate" // one quantity, two values
  | "bad_unit"
  | "bad_date"
  | "bad_hex"
  | "too_long";

export interface FieldFault {
  readonly rule: FieldRule;
  /** Offset of the offending byte in everything the reader was given. */
  readonly offset: number;
}

export function emptyTelegram(): TelegramFields {
  const mbus: MBusDevice[] = [];
  for (let i = 0; i < MBUS_CHANNELS_MAX; i++) mbus.push({ type: null, id: null, value: null, unit: null, time: null });
  return {
    bytes: NO_BYTES, start: 0, end: 0, offset: 0, at: 0, crc: "checked",
    identification: "", version: null, time: null, equipmentId: null, tariff: null,
    energy: { import: noRegisters(), export: noRegisters() },
    power: { import: null, export: null, importPerPhase: noPhases(), exportPerPhase: noPhases() },
    voltage: noPhases(), current: noPhases(), currentWhole: true, sags: noPhases(), swells: noPhases(),
    failures: null, longFailures: null, message: { text: null, changed: false }, code: null,
    breaker: null, limiterPower: null, limiterCurrent: null, fuse: null,
    quarterAverage: null, monthPeak: { power: null, time: null }, mbus,
    failureLogAt: -1, monthPeaksAt: -1, ambiguous: false, unknownLines: 0, faults: [], faultCount: 0, corruptCount: 0,
  };
}

const NO_BYTES = new Uint8Array(0);
const noPhases = (): [null, null, null] => [null, null, null];
const noRegisters = (): EnergyRegisters => ({ total: null, tariff: [null, null, null, null] });

/** As emptyTelegram, in the objects that are there: a telegram each second must leave no garbage. */
export function clearTelegram(t: TelegramFields): void {
  t.identification = "";
  t.version = t.time = t.equipmentId = t.tariff = null;
  clearRegisters(t.energy.import);
  clearRegisters(t.energy.export);
  t.power.import = t.power.export = null;
  clearPhases(t.power.importPerPhase);
  clearPhases(t.power.exportPerPhase);
  clearPhases(t.voltage);
  clearPhases(t.current);
  t.currentWhole = true;
  clearPhases(t.sags);
  clearPhases(t.swells);
  t.failures = t.longFailures = null;
  t.message.text = null;
  t.message.changed = false;
  t.code = null;
  t.breaker = t.limiterPower = t.limiterCurrent = t.fuse = t.quarterAverage = null;
  t.monthPeak.power = t.monthPeak.time = null;
  for (let i = 0; i < MBUS_CHANNELS_MAX; i++) {
    const device = t.mbus[i]!;
    device.type = device.id = device.value = device.unit = device.time = null;
  }
  t.failureLogAt = t.monthPeaksAt = -1;
  t.ambiguous = false;
  t.unknownLines = t.faultCount = t.corruptCount = 0;
  if (t.faults.length > 0) t.faults = [];
}

function clearPhases(phases: Phases<number>): void {
  phases[0] = phases[1] = phases[2] = null;
}

function clearRegisters(registers: EnergyRegisters): void {
  registers.total = null;
  const tariff = registers.tariff;
  tariff[0] = tariff[1] = tariff[2] = tariff[3] = null;
}
