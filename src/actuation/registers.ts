/**
 * One register or a few as a value, and back. Values are integers in thousandths of the quantity's
 * base unit (mA, mV, mW, milli-percent, mWh): a maker's scale is a power of ten, so nothing is lost
 * down to a thousandth. Failures are values; "not implemented" is `absent`, never 0.
 */
import type { Register, RegisterTable, RegisterWrite } from "./profile.js";
import { modelAddress, type ModelMap } from "./sunspec.js";

/** The newest word read at an address, null where none was. Coils as 0 and 1. */
export type Words = (table: RegisterTable, address: number) => number | null;

export type RegisterFault =
  /** The device has none of the SunSpec models the register counts from. */
  | { readonly rule: "model_missing"; readonly model: number }
  /** Not (yet) read: `address` as on the wire. */
  | { readonly rule: "not_read"; readonly table: RegisterTable; readonly address: number }
  /** A scale factor outside -10 to 10 (SunSpec: sunssf). */
  | { readonly rule: "scale_invalid"; readonly scale: number }
  /** More than an integer can hold without loss, or an infinite float. */
  | { readonly rule: "out_of_range" }
  /** A string where a number is asked, or the other way round. */
  | { readonly rule: "not_a_number" }
  /** A write in percent of a rated power that neither the device nor the site names. */
  | { readonly rule: "rated_unknown" }
  /** The profile takes another kind of setpoint (amperes, watts, contacts). */
  | { readonly rule: "setpoint_kind"; readonly kind: string };

export type Decoded =
  | { readonly kind: "value"; readonly milli: number }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "absent" }
  | { readonly kind: "fault"; readonly fault: RegisterFault };

export type Encoded =
  /** `milli`: what the words mean, after rounding down, in our sign. */
  | { readonly ok: true; readonly words: readonly number[]; readonly milli: number }
  | { readonly ok: false; readonly fault: RegisterFault };

const ABSENT: Decoded = { kind: "absent" };
const SCALE_MAX = 10;
const SCALE_NOT_IMPLEMENTED = 0x8000;

const fault = (it: RegisterFault): Decoded => ({ kind: "fault", fault: it });

/** 16-bit registers (or coils) a value takes. */
export function registerCount(register: Register): number {
  switch (register.type) {
    case "u16": case "i16": return 1;
    case "u32": case "i32": case "f32": return 2;
    case "u64": case "f64": return 4;
    case "string": return register.length ?? 1;
  }
}

/** The address on the wire, null where the device lacks the SunSpec model. */
export function wireAddress(register: Register, models: ModelMap): number | null {
  return register.model === undefined ? register.address : modelAddress(models, register.model, register.address);
}

export function scaleAddress(register: Register, models: ModelMap): number | null {
  if (register.scaleRegister === undefined || register.model === undefined) return register.scaleRegister ?? null;
  return modelAddress(models, register.model, register.scaleRegister);
}

const firstModel = (register: Register): number =>
  typeof register.model === "number" ? register.model : register.model?.[0] ?? 0;

/** 10^n for n from 0 to 15, exact. */
function powerOfTen(n: number): number {
  let power = 1;
  for (let i = 0; i < n; i++) power *= 10;
  return power;
}

/** The exponent of ten from raw to base unit, or why there is none. `null`: the scale says "not implemented". */
function exponentOf(register: Register, models: ModelMap, words: Words): number | RegisterFault | null {
  let exponent = register.scale ?? 0;
  if (register.scaleRegister !== undefined) {
    const address = scaleAddress(register, models);
    if (address === null) return { rule: "model_missing", model: firstModel(register) };
    const word = words(register.table, address);
    if (word === null) return { rule: "not_read", table: register.table, address };
    if (word === SCALE_NOT_IMPLEMENTED) return null;
    const scale = word >= 0x8000 ? word - 0x10000 : word;
    if (scale < -SCALE_MAX || scale > SCALE_MAX) return { rule: "scale_invalid", scale };
    exponent += scale;
  }
  return exponent;
}

/** Raw x 10^exponent, rounded half away from zero; null where it does not fit. */
function scaled(raw: number, exponent: number): number | null {
  if (exponent >= 0) {
    if (exponent > 15) return raw === 0 ? 0 : null;
    const value = raw * powerOfTen(exponent);
    return Number.isSafeInteger(value) ? value : null;
  }
  if (exponent < -15) return 0;
  const divisor = powerOfTen(-exponent);
  const rest = raw % divisor;
  const whole = (raw - rest) / divisor;
  if (2 * Math.abs(rest) < divisor) return whole + 0;
  return whole + (raw < 0 ? -1 : 1);
}

/** Reads one value out of the words the service has. */
export function decodeRegister(register: Register, models: ModelMap, words: Words): Decoded {
  const address = wireAddress(register, models);
  if (address === null) return fault({ rule: "model_missing", model: firstModel(register) });
  const count = registerCount(register);
  const raw: number[] = [];
  for (let i = 0; i < count; i++) {
    const word = words(register.table, address + i);
    if (word === null) return fault({ rule: "not_read", table: register.table, address: address + i });
    raw.push(word);
  }
  if (register.type === "string") return { kind: "text", text: toText(raw) };
  if (register.wordOrder === "little") raw.reverse();
  if (register.type === "f32" || register.type === "f64") return decodeFloat(register, raw, models, words);
  const unsigned = toUnsigned(raw);
  if (register.absent !== undefined && register.absent.indexOf(unsigned) >= 0) return ABSENT;
  if (!Number.isSafeInteger(unsigned)) return fault({ rule: "out_of_range" });
  const exponent = exponentOf(register, models, words);
  if (exponent === null) return ABSENT;
  if (typeof exponent !== "number") return fault(exponent);
  const signed = toSigned(register.type, unsigned);
  const milli = scaled(register.negate ? 0 - signed : signed, exponent + 3);
  return milli === null ? fault({ rule: "out_of_range" }) : { kind: "value", milli };
}

/** The raw integer, for `trueWhen`: neither scaled nor negated; null for floats and strings. */
export function rawOf(register: Register, models: ModelMap, words: Words): number | null {
  const address = wireAddress(register, models);
  if (address === null || register.type === "string" || register.type === "f32" || register.type === "f64") return null;
  const raw: number[] = [];
  for (let i = 0; i < registerCount(register); i++) {
    const word = words(register.table, address + i);
    if (word === null) return null;
    raw.push(word);
  }
  if (register.wordOrder === "little") raw.reverse();
  return toSigned(register.type, toUnsigned(raw));
}

function decodeFloat(register: Register, raw: readonly number[], models: ModelMap, words: Words): Decoded {
  const view = new DataView(new ArrayBuffer(8));
  for (let i = 0; i < raw.length; i++) view.setUint16(2 * i, raw[i]!);
  const value = register.type === "f32" ? view.getFloat32(0) : view.getFloat64(0);
  if (value !== value) return ABSENT;
  const exponent = exponentOf(register, models, words);
  if (exponent === null) return ABSENT;
  if (typeof exponent !== "number") return fault(exponent);
  const power = exponent + 3;
  const signed = register.negate ? 0 - value : value;
  const milli = Math.round(power >= 0 ? signed * powerOfTen(power) : signed / powerOfTen(-power));
  return Number.isSafeInteger(milli) ? { kind: "value", milli: milli + 0 } : fault({ rule: "out_of_range" });
}

function toUnsigned(raw: readonly number[]): number {
  let value = 0;
  for (let i = 0; i < raw.length; i++) value = value * 0x10000 + raw[i]!;
  return value;
}

function toSigned(type: Register["type"], unsigned: number): number {
  if (type === "i16" && unsigned >= 0x8000) return unsigned - 0x10000;
  if (type === "i32" && unsigned >= 0x80000000) return unsigned - 0x100000000;
  return unsigned;
}

/** ASCII, up to the first zero; spaces around it go. */
function toText(raw: readonly number[]): string {
  let text = "";
  for (let i = 0; i < raw.length; i++) {
    const word = raw[i]!;
    for (let shift = 8; shift >= 0; shift -= 8) {
      const byte = (word >> shift) & 0xff;
      if (byte === 0) return text.trim();
      text += String.fromCharCode(byte);
    }
  }
  return text.trim();
}

/**
 * A value (thousandths of the base unit, our sign) as words. Always rounded DOWN: less current, less
 * charging, less production; what lies beyond the type's range becomes its end.
 */
export function encodeRegister(register: RegisterWrite, milli: number, models: ModelMap, words: Words): Encoded {
  if (register.type === "string") return { ok: false, fault: { rule: "not_a_number" } };
  const exponent = exponentOf(register, models, words);
  // A scale the device does not implement cannot be written with: better refused than a guess.
  if (exponent === null) return { ok: false, fault: { rule: "scale_invalid", scale: -0x8000 } };
  if (typeof exponent !== "number") return { ok: false, fault: exponent };
  if (register.type === "f32" || register.type === "f64") return encodeFloat(register, milli, exponent);
  const power = exponent + 3;
  const down = power >= 0 ? floorDivide(milli, powerOfTen(power)) : milli * powerOfTen(-power);
  if (!Number.isSafeInteger(down)) return { ok: false, fault: { rule: "out_of_range" } };
  const raw = withinType(register, register.negate ? 0 - down : down);
  const value = scaled(register.negate ? 0 - raw : raw, power);
  if (value === null) return { ok: false, fault: { rule: "out_of_range" } };
  return { ok: true, words: toWords(register, raw), milli: value };
}

/** A constant as the maker writes it: no scale, no sign. */
export function constantWords(register: Register, raw: number): readonly number[] {
  return toWords(register, raw);
}

function floorDivide(value: number, divisor: number): number {
  const rest = value % divisor;
  return (value - rest) / divisor - (rest < 0 ? 1 : 0);
}

function withinType(register: Register, raw: number): number {
  let low = 0, high = Number.MAX_SAFE_INTEGER;
  switch (register.type) {
    case "u16": high = 0xffff; break;
    case "i16": low = -0x8000; high = 0x7fff; break;
    case "u32": high = 0xffffffff; break;
    case "i32": low = -0x80000000; high = 0x7fffffff; break;
    default: break;
  }
  const clamped = raw < low ? low : raw > high ? high : raw;
  const absent = register.absent;
  if (absent === undefined || absent.indexOf(unsignedOf(register.type, clamped)) < 0) return clamped;
  // The maker's "not implemented": the neighbour nearer to zero says the same and is a number.
  return clamped < 0 ? clamped + 1 : clamped - 1;
}

function unsignedOf(type: Register["type"], raw: number): number {
  if (raw >= 0) return raw;
  return type === "i16" ? raw + 0x10000 : raw + 0x100000000;
}

function toWords(register: Register, raw: number): number[] {
  if (register.table === "coil") return [raw === 0 ? 0 : 1];
  const words: number[] = [];
  let rest = unsignedOf(register.type, raw);
  for (let i = registerCount(register); i > 0; i--) {
    words.push(rest % 0x10000);
    rest = Math.floor(rest / 0x10000);
  }
  if (register.wordOrder !== "little") words.reverse();
  return words;
}

/** The largest float that is not above the value: 6.1 A must not become 6.1000004 A. */
function encodeFloat(register: Register, milli: number, exponent: number): Encoded {
  const power = exponent + 3;
  const exact = power >= 0 ? milli / powerOfTen(power) : milli * powerOfTen(-power);
  const wide = register.type === "f64";
  const view = new DataView(new ArrayBuffer(8));
  const target = register.negate ? 0 - exact : exact;
  if (wide) view.setFloat64(0, target + 0);
  else {
    view.setFloat32(0, target + 0);
    const rounded = view.getFloat32(0);
    const above = register.negate ? rounded < target : rounded > target;
    // Neighbouring floats are neighbouring integers; towards zero is minus one for either sign.
    if (above) {
      const away = register.negate ? rounded > 0 : rounded < 0;
      view.setUint32(0, view.getUint32(0) + (away ? 1 : -1));
    }
  }
  const words: number[] = [];
  for (let i = 0; i < registerCount(register); i++) words.push(view.getUint16(2 * i));
  if (register.wordOrder === "little") words.reverse();
  return { ok: true, words, milli };
}
