/**
 * What services/device.ts does with a profile, as data: which registers to read, what they say, which
 * words to write for a setpoint, what must be read back afterwards.
 */
import { MODBUS_REGISTERS_MAX } from "../constants.js";
import type { Setpoint } from "../allocation/decision.js";
import type { Millivolts, Milliamps, PerPhase, Permille, WattHours, Watts } from "../units.js";
import type { Profile, Quantity, Register, RegisterTable, RegisterWrite } from "./profile.js";
import {
  constantWords, decodeRegister, encodeRegister, rawOf, registerCount, scaleAddress, wireAddress,
  type Decoded, type RegisterFault, type Words,
} from "./registers.js";
import type { ModelMap } from "./sunspec.js";

/** One read: function 1, 3 or 4 by its table. */
export interface ReadBlock {
  readonly table: RegisterTable;
  readonly start: number;
  readonly count: number;
}

/** One write: function 5 (coil), or `writeFunction` of the profile (16 where there are several words). */
export interface PlannedWrite {
  readonly table: RegisterTable;
  readonly address: number;
  readonly words: readonly number[];
  readonly function: 5 | 6 | 16;
}

export interface PlanContext {
  /** [] for devices without SunSpec. */
  readonly models: ModelMap;
  /** The newest words read: scale factors and rated power come from here. */
  readonly words: Words;
  /** The site's rated power in watts, for writes in percent where the device names none itself. */
  readonly rated: Watts | null;
}

export type PlanResult =
  | { readonly ok: true; readonly writes: readonly PlannedWrite[] }
  | { readonly ok: false; readonly fault: RegisterFault };

/** What a device says, in the units of a DeviceReport. Null: absent, or not in the profile. */
export interface Quantities {
  readonly power: Watts | null;
  readonly phasePower: PerPhase<Watts | null>;
  readonly current: PerPhase<Milliamps | null>;
  readonly voltage: PerPhase<Millivolts | null>;
  readonly wants: boolean | null;
  readonly stateOfCharge: Permille | null;
  readonly imported: WattHours | null;
  readonly exported: WattHours | null;
  /** The first fault met, null when every register of the profile decoded (or was absent). */
  readonly fault: RegisterFault | null;
}

const QUANTITIES: readonly Quantity[] = [
  "current_l1", "current_l2", "current_l3", "voltage_l1", "voltage_l2", "voltage_l3",
  "power", "power_l1", "power_l2", "power_l3", "state_of_charge", "wants", "imported", "exported",
];

/** True where the device's models must be found (sunspec.ts) before anything else. */
export function usesSunSpec(profile: Profile): boolean {
  for (const name of QUANTITIES) if (profile.read[name]?.model !== undefined) return true;
  for (const write of profile.write) if (write.model !== undefined) return true;
  return false;
}

/**
 * Every block to poll: quantities, read-back, scale factors and rated powers, neighbours joined. A
 * register whose model the device lacks is left out.
 */
export function planReads(profile: Profile, models: ModelMap): ReadBlock[] {
  const spans: ReadBlock[] = [];
  const add = (register: Register | null | undefined): void => {
    if (register === null || register === undefined) return;
    const start = wireAddress(register, models);
    if (start !== null) spans.push({ table: register.table, start, count: registerCount(register) });
    addScale(register);
  };
  const addScale = (register: Register): void => {
    const scale = scaleAddress(register, models);
    if (scale !== null) spans.push({ table: register.table, start: scale, count: 1 });
  };
  for (const name of QUANTITIES) add(profile.read[name]);
  add(readBackRegister(profile));
  for (const write of profile.write) {
    addScale(write);
    add(write.percentOf);
  }
  const fallback = profile.watchdog?.fallback;
  if (fallback !== null && fallback !== undefined) addScale(fallback);
  spans.sort((a, b) => (a.table === b.table ? a.start - b.start : a.table < b.table ? -1 : 1));
  return joined(spans, profile.readGap ?? 0, profile.readMax ?? MODBUS_REGISTERS_MAX);
}

function joined(spans: readonly ReadBlock[], gap: number, max: number): ReadBlock[] {
  const blocks: ReadBlock[] = [];
  for (const span of spans) {
    const last = blocks[blocks.length - 1];
    if (last !== undefined && last.table === span.table) {
      const end = Math.max(last.start + last.count, span.start + span.count);
      const contained = span.start + span.count <= last.start + last.count;
      if (contained || (span.start <= last.start + last.count + gap && end - last.start <= max)) {
        blocks[blocks.length - 1] = { table: last.table, start: last.start, count: end - last.start };
        continue;
      }
    }
    blocks.push(span);
  }
  return blocks;
}

/** One quantity in thousandths of its base unit; `absent` where the profile does not have it. */
export function decodeQuantity(profile: Profile, quantity: Quantity, models: ModelMap, words: Words): Decoded {
  const register = profile.read[quantity];
  return register === undefined ? { kind: "absent" } : decodeRegister(register, models, words);
}

/** Everything the profile reads, in the units of a DeviceReport. */
export function readQuantities(profile: Profile, models: ModelMap, words: Words): Quantities {
  let fault: RegisterFault | null = null;
  const milli = (quantity: Quantity): number | null => {
    const decoded = decodeQuantity(profile, quantity, models, words);
    if (decoded.kind === "value") return decoded.milli;
    if (decoded.kind === "fault") fault ??= decoded.fault;
    if (decoded.kind === "text") fault ??= { rule: "not_a_number" };
    return null;
  };
  const base = (quantity: Quantity): number | null => {
    const value = milli(quantity);
    return value === null ? null : Math.round(value / 1000) + 0;
  };
  const soc = milli("state_of_charge");
  const power1 = base("power_l1"), power2 = base("power_l2"), power3 = base("power_l3");
  const total = base("power");
  return {
    power: profile.read.power === undefined ? sum(power1, power2, power3) : total,
    phasePower: [power1, power2, power3],
    current: [milli("current_l1"), milli("current_l2"), milli("current_l3")],
    voltage: [milli("voltage_l1"), milli("voltage_l2"), milli("voltage_l3")],
    wants: decodeWants(profile, models, words),
    stateOfCharge: soc === null ? null : Math.round(soc / 100) + 0,
    imported: base("imported"),
    exported: base("exported"),
    fault,
  };
}

/** A single-phase device has no L2 and L3; one without any phase has no power. */
function sum(a: number | null, b: number | null, c: number | null): number | null {
  return a === null && b === null && c === null ? null : (a ?? 0) + (b ?? 0) + (c ?? 0);
}

function decodeWants(profile: Profile, models: ModelMap, words: Words): boolean | null {
  const register = profile.read.wants;
  if (register === undefined) return null;
  if (register.type === "string") {
    const decoded = decodeRegister(register, models, words);
    if (decoded.kind !== "text" || decoded.text === "") return null;
    for (const start of register.trueWhenText ?? []) if (decoded.text.startsWith(start)) return true;
    return false;
  }
  const raw = rawOf(register, models, words);
  if (raw === null || (register.absent !== undefined && register.absent.indexOf(raw) >= 0)) return null;
  const bits = register.mask === undefined ? raw : raw & register.mask;
  return register.trueWhen === undefined ? bits !== 0 : register.trueWhen.indexOf(bits) >= 0;
}

/**
 * The setpoint in thousandths of its base unit as the device will get it: not above the profile's
 * maximum, on its step downwards, and 0 below its minimum - never raised to it.
 */
export function effectiveMilli(profile: Profile, setpoint: Setpoint): number | RegisterFault {
  const kind = setpoint.kind;
  if ((profile.setpoint ?? "W") === "A" ? kind !== "current" : kind !== "power" && kind !== "production" || profile.setpoint === "state") {
    return { rule: "setpoint_kind", kind };
  }
  let milli = kind === "current" ? setpoint.value : setpoint.value * 1000;
  if (profile.maximum !== undefined) milli = Math.min(milli, Math.round(profile.maximum * 1000));
  if (profile.step !== undefined) {
    const step = Math.round(profile.step * 1000);
    milli = Math.floor(milli / step) * step;
  }
  const minimum = Math.round((profile.minimum ?? 0) * 1000);
  return milli > 0 && milli < minimum ? 0 : milli;
}

/** The writes for a setpoint, in the profile's order; neighbours of one table in one request. */
export function planWrites(profile: Profile, setpoint: Setpoint, context: PlanContext): PlanResult {
  const milli = effectiveMilli(profile, setpoint);
  if (typeof milli !== "number") return { ok: false, fault: milli };
  const writes: PlannedWrite[] = [];
  for (const write of profile.write) {
    if (write.when === "zero" ? milli !== 0 : write.when === "not_zero" && milli === 0) continue;
    const address = wireAddress(write, context.models);
    if (address === null) return { ok: false, fault: missing(write) };
    let words: readonly number[];
    if (write.constant !== undefined) words = constantWords(write, write.constant);
    else {
      const value = registerMilli(write, milli, context);
      if (typeof value !== "number") return { ok: false, fault: value };
      const encoded = encodeRegister(write, value, context.models, context.words);
      if (!encoded.ok) return encoded;
      words = encoded.words;
    }
    push(writes, write, address, words, profile.writeFunction ?? 16);
  }
  return { ok: true, writes };
}

const missing = (register: Register): RegisterFault =>
  ({ rule: "model_missing", model: typeof register.model === "number" ? register.model : register.model?.[0] ?? 0 });

function push(writes: PlannedWrite[], write: RegisterWrite, address: number, words: readonly number[], single: 6 | 16): void {
  if (write.table === "coil") {
    writes.push({ table: "coil", address, words, function: 5 });
    return;
  }
  const last = writes[writes.length - 1];
  // Two values that belong together must not be seen apart: one request where the device takes it.
  if (single === 16 && last !== undefined && last.table === write.table && last.address + last.words.length === address) {
    writes[writes.length - 1] = { table: last.table, address: last.address, words: last.words.concat(words), function: 16 };
    return;
  }
  writes.push({ table: write.table, address, words, function: words.length === 1 ? single : 16 });
}

/** The part of a setpoint that goes into this register, in its own unit (base unit or percent). */
function registerMilli(write: RegisterWrite, milli: number, context: PlanContext): number | RegisterFault {
  const share = write.divide === undefined ? milli : Math.floor(milli / write.divide);
  if (!write.percent) return share;
  const rated = ratedWatts(write, context);
  if (typeof rated !== "number") return rated;
  const percent = Math.floor((share * 100) / rated);
  return Math.max(-100_000, Math.min(100_000, percent));
}

function ratedWatts(write: RegisterWrite, context: PlanContext): number | RegisterFault {
  if (write.percentOf !== undefined) {
    const decoded = decodeRegister(write.percentOf, context.models, context.words);
    // Not yet read is not the same as unknown: with the site's value instead, 100 % could be too much.
    if (decoded.kind === "fault" && decoded.fault.rule === "not_read") return decoded.fault;
    if (decoded.kind === "value" && decoded.milli >= 1000) return Math.floor(decoded.milli / 1000);
  }
  return context.rated !== null && context.rated > 0 ? context.rated : { rule: "rated_unknown" };
}

/** The write that carries the setpoint itself. */
function valueWrite(profile: Profile): RegisterWrite | null {
  for (const write of profile.write) if (write.constant === undefined && write.table !== "coil") return write;
  return null;
}

export function readBackRegister(profile: Profile): Register | null {
  if (profile.readBack !== undefined) return profile.readBack;
  const write = valueWrite(profile);
  return write === null || write.table === "input" ? null : write;
}

/** What must be read after a write to see that it was taken; null where the device does not say. */
export function planReadBack(profile: Profile, models: ModelMap): ReadBlock | null {
  const register = readBackRegister(profile);
  const start = register === null ? null : wireAddress(register, models);
  return register === null || start === null ? null : { table: register.table, start, count: registerCount(register) };
}

/** The value the device says it was told, in the setpoint's unit (mA or W); null where it does not say. */
export function decodeReadBack(profile: Profile, context: PlanContext): Milliamps | Watts | null {
  const register = readBackRegister(profile);
  if (register === null) return null;
  const decoded = decodeRegister(register, context.models, context.words);
  if (decoded.kind !== "value") return null;
  const write = valueWrite(profile);
  let milli = decoded.milli;
  if (write?.percent && profile.readBack === undefined) {
    const rated = ratedWatts(write, context);
    if (typeof rated !== "number") return null;
    milli = Math.round((milli * rated) / 100);
  }
  if (write?.divide !== undefined && profile.readBack === undefined) milli *= write.divide;
  return profile.setpoint === "A" ? milli : Math.round(milli / 1000) + 0;
}

/** Less than this between told and read back is the device's own rounding. */
const READ_BACK_TOLERANCE_MA = 100;
const READ_BACK_TOLERANCE_W = 50;

/** What the device must say after `setpoint` was written, in its unit; null where nothing can be said. */
export function expectedReadBack(profile: Profile, setpoint: Setpoint, context: PlanContext): Milliamps | Watts | null {
  const write = valueWrite(profile);
  const asked = effectiveMilli(profile, setpoint);
  if (write === null || typeof asked !== "number" || (write.when === "not_zero" && asked === 0)) return null;
  const share = registerMilli(write, asked, context);
  if (typeof share !== "number") return null;
  const encoded = encodeRegister(write, share, context.models, context.words);
  if (!encoded.ok) return null;
  let milli = encoded.milli;
  if (write.percent) {
    const rated = ratedWatts(write, context);
    if (typeof rated !== "number") return null;
    milli = Math.round((milli * rated) / 100);
  }
  milli *= write.divide ?? 1;
  return profile.setpoint === "A" ? milli : Math.round(milli / 1000) + 0;
}

/**
 * True where the device holds what `setpoint` gives after rounding, false where it holds another
 * value, null where nothing can be said: no read-back, or the register is not written for this
 * setpoint (some chargers are switched off by another one).
 */
export function matchesReadBack(profile: Profile, setpoint: Setpoint, context: PlanContext): boolean | null {
  const applied = decodeReadBack(profile, context);
  const expected = expectedReadBack(profile, setpoint, context);
  if (applied === null || expected === null) return null;
  return Math.abs(applied - expected) <= (profile.setpoint === "A" ? READ_BACK_TOLERANCE_MA : READ_BACK_TOLERANCE_W);
}

/**
 * The writes that set the device's own watchdog, first what it falls to, then after how long; never
 * above `safe`, the device's safe value. Empty where it is fixed or the installer's (`setup`). To be
 * written after each connection: a device that restarted has forgotten it.
 */
export function planWatchdog(profile: Profile, safe: Setpoint, context: PlanContext): PlanResult {
  const watchdog = profile.watchdog;
  if (watchdog === undefined) return { ok: true, writes: [] };
  const safeMilli = effectiveMilli(profile, safe);
  if (typeof safeMilli !== "number") return { ok: false, fault: safeMilli };
  const writes: PlannedWrite[] = [];
  if (watchdog.fallback !== null) {
    const to = watchdog.to === "safe" ? safeMilli : Math.min(safeMilli, Math.round(watchdog.to * 1000));
    const value = registerMilli(watchdog.fallback, to, context);
    if (typeof value !== "number") return { ok: false, fault: value };
    const problem = add(writes, profile, watchdog.fallback, value, context);
    if (problem !== null) return { ok: false, fault: problem };
  }
  if (watchdog.register !== null) {
    const problem = add(writes, profile, watchdog.register, watchdog.seconds * 1000, context);
    if (problem !== null) return { ok: false, fault: problem };
  }
  return { ok: true, writes };
}

function add(writes: PlannedWrite[], profile: Profile, register: RegisterWrite, milli: number, context: PlanContext): RegisterFault | null {
  const address = wireAddress(register, context.models);
  if (address === null) return missing(register);
  const encoded = encodeRegister(register, milli, context.models, context.words);
  if (!encoded.ok) return encoded.fault;
  push(writes, register, address, encoded.words, profile.writeFunction ?? 16);
  return null;
}
