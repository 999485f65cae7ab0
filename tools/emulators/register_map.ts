/**
 * The registers of an emulated device, laid out from its profile: every register the profile reads or
 * writes exists, with a SunSpec chain where it counts from models; nothing else does. Written against
 * the meaning of a profile (docs/profiles.md), not with the controller's own encoder, so that a
 * mistake in one of them shows.
 */
import type { Profile, Quantity, Register, RegisterTable, RegisterWrite } from "../../src/actuation/profile.js";
import type { Saying } from "./models.js";

/** Registers after the length register (sunspec/models). */
const MODEL_LENGTHS: Readonly<Record<number, number>> = {
  1: 66, 101: 50, 102: 50, 103: 50, 120: 26, 121: 30, 123: 24, 124: 24, 160: 48,
  201: 105, 202: 105, 203: 105, 204: 105, 701: 153, 702: 50, 704: 57, 713: 7, 802: 62,
};
const SUNSPEC_BASE = 40_000;
const REGISTER_WORDS: Readonly<Record<string, number>> = { u16: 1, i16: 1, u32: 2, i32: 2, f32: 2, u64: 4, f64: 4 };

export class RegisterMap {
  readonly profile: Profile;
  readonly #memory: Record<RegisterTable, Map<number, number>> = { holding: new Map(), input: new Map(), coil: new Map() };
  readonly #writable = new Set<string>();
  readonly #models = new Map<number, number>();
  readonly #rated: number;

  /** `rated` in watts: what the device says 100 % is. `coils`: of a relay board. */
  constructor(profile: Profile, rated: number, coils = 0) {
    this.profile = profile;
    this.#rated = rated;
    const registers: Register[] = [...Object.values(profile.read), ...profile.write];
    for (const write of profile.write) if (write.percentOf) registers.push(write.percentOf);
    if (profile.readBack) registers.push(profile.readBack);
    for (const part of [profile.watchdog?.register, profile.watchdog?.fallback]) if (part) registers.push(part);
    const wanted = new Set<number>();
    for (const { model } of registers) if (model !== undefined) wanted.add(typeof model === "number" ? model : model.includes(103) ? 103 : model.includes(203) ? 203 : model[0]!);
    if (wanted.size > 0) this.#layModels([1, ...[...wanted].sort((a, b) => a - b)]);
    for (const register of registers) this.#reserve(register);
    if (profile.readGap !== undefined) this.#fillGaps(profile.readGap);
    for (const write of profile.write) this.#allow(write);
    for (const part of [profile.watchdog?.register, profile.watchdog?.fallback]) if (part) this.#allow(part);
    for (const write of profile.write) if (write.percentOf) this.put(write.percentOf, rated * 1000);
    for (let coil = 0; coil < coils; coil++) {
      this.#memory.coil.set(coil, 0);
      this.#writable.add(`coil ${coil}`);
    }
  }

  #layModels(ids: readonly number[]): void {
    const holding = this.#memory.holding;
    holding.set(SUNSPEC_BASE, 0x5375).set(SUNSPEC_BASE + 1, 0x6e53);
    let at = SUNSPEC_BASE + 2;
    for (const id of ids) {
      const length = MODEL_LENGTHS[id] ?? 100;
      this.#models.set(id, at);
      holding.set(at, id).set(at + 1, length);
      // Text is 0, numbers are "not implemented".
      for (let i = 0; i < length; i++) holding.set(at + 2 + i, id === 1 ? 0 : 0xffff);
      if (id === 1) {
        this.#text(at + 2, "Vangnet");
        this.#text(at + 18, this.profile.id);
        this.#text(at + 50, "EMULATED");
      }
      at += 2 + length;
    }
    holding.set(at, 0xffff).set(at + 1, 0);
  }

  #text(at: number, text: string): void {
    for (let i = 0; i < text.length; i += 2) this.#memory.holding.set(at + i / 2, (text.charCodeAt(i) << 8) | (text.charCodeAt(i + 1) || 0));
  }

  address(register: Register, at = register.address): number {
    if (register.model === undefined) return at;
    const ids = typeof register.model === "number" ? [register.model] : register.model;
    for (const id of ids) {
      const start = this.#models.get(id);
      if (start !== undefined) return start + at;
    }
    throw new Error(`${this.profile.id}: model ${ids.join("/")} is not laid out`);
  }

  words(register: Register): number {
    return register.type === "string" ? register.length ?? 1 : REGISTER_WORDS[register.type]!;
  }

  #reserve(register: Register): void {
    const table = this.#memory[register.table], start = this.address(register);
    for (let i = 0; i < this.words(register); i++) if (register.model === undefined || !table.has(start + i)) table.set(start + i, 0);
    if (register.scaleRegister === undefined) return;
    // Tenths of a volt, hundredths of an ampere and of a percent, whole watts.
    const name = Object.entries(this.profile.read).find(([, read]) => read === register)?.[0] ?? "";
    const percent = "percent" in register && register.percent === true;
    const scale = name.startsWith("voltage") ? -1 : name.startsWith("current") || name === "state_of_charge" || percent ? -2 : 0;
    table.set(this.address(register, register.scaleRegister), scale & 0xffff);
  }

  /** A profile that joins reads over so many registers says that the device has those between. */
  #fillGaps(gap: number): void {
    for (const table of [this.#memory.holding, this.#memory.input]) {
      let before = NaN;
      for (const address of [...table.keys()].sort((a, b) => a - b)) {
        if (address - before <= gap + 1) for (let at = before + 1; at < address; at++) table.set(at, 0);
        before = address;
      }
    }
  }

  #allow(register: Register): void {
    const start = this.address(register);
    for (let i = 0; i < this.words(register); i++) this.#writable.add(`${register.table} ${start + i}`);
  }

  get(table: RegisterTable, address: number): number | undefined { return this.#memory[table].get(address); }
  isWritable(table: RegisterTable, address: number): boolean { return this.#writable.has(`${table} ${address}`); }
  set(table: RegisterTable, address: number, word: number): void { this.#memory[table].set(address, word); }

  #exponent(register: Register): number {
    let exponent = (register.scale ?? 0) + 3;
    if (register.scaleRegister !== undefined) {
      const word = this.get(register.table, this.address(register, register.scaleRegister))!;
      exponent += word > 0x7fff ? word - 0x10000 : word;
    }
    return exponent;
  }

  /** Thousandths of the base unit, rounded to what the register can say; null = the maker's "nothing". */
  put(register: Register, milli: number | null): void {
    const view = new DataView(new ArrayBuffer(8)), count = this.words(register);
    if (milli === null) {
      if (register.type === "f32") view.setUint32(0, 0x7fc00000);
      else if (register.type === "f64") view.setFloat64(0, NaN);
      else {
        const absent = register.absent?.[0] ?? 0;
        if (count === 1) view.setUint16(0, absent);
        else view.setBigUint64(0, BigInt(absent) << BigInt(64 - 16 * count));
      }
    } else {
      const value = (register.negate ? -milli : milli) / 10 ** this.#exponent(register);
      switch (register.type) {
        case "u16": view.setUint16(0, Math.min(0xffff, Math.max(0, Math.round(value)))); break;
        case "i16": view.setInt16(0, Math.min(0x7fff, Math.max(-0x7fff, Math.round(value)))); break;
        case "u32": view.setUint32(0, Math.max(0, Math.round(value))); break;
        case "i32": view.setInt32(0, Math.round(value)); break;
        case "u64": view.setBigUint64(0, BigInt(Math.max(0, Math.round(value)))); break;
        case "f32": view.setFloat32(0, value); break;
        case "f64": view.setFloat64(0, value); break;
        case "string": break;
      }
    }
    const start = this.address(register);
    for (let i = 0; i < count; i++) {
      const from = register.wordOrder === "little" ? count - 1 - i : i;
      this.set(register.table, start + i, view.getUint16(2 * from));
    }
  }

  /** The number in a register that a master writes, in thousandths of the base unit. */
  take(register: Register): number {
    const view = new DataView(new ArrayBuffer(8)), count = this.words(register), start = this.address(register);
    for (let i = 0; i < count; i++) {
      const to = register.wordOrder === "little" ? count - 1 - i : i;
      view.setUint16(2 * to, this.get(register.table, start + i) ?? 0);
    }
    const read = { u16: () => view.getUint16(0), i16: () => view.getInt16(0), u32: () => view.getUint32(0), i32: () => view.getInt32(0),
      u64: () => Number(view.getBigUint64(0)), f32: () => view.getFloat32(0), f64: () => view.getFloat64(0), string: () => NaN };
    const value = read[register.type]() * 10 ** this.#exponent(register);
    return register.negate ? -value : value;
  }

  /** Puts what the model says where the profile reads it. */
  refresh(saying: Saying): void {
    for (const [name, register] of Object.entries(this.profile.read) as [Quantity, Register][]) {
      const value = saying[name];
      if (name === "wants") this.#putWants(register, value === undefined || value === null ? null : value !== 0);
      else this.put(register, value ?? null);
    }
  }

  #putWants(register: Register, wants: boolean | null): void {
    if (register.type === "string") {
      const text = wants ? `${register.trueWhenText?.[0] ?? "B"}2` : "A", start = this.address(register);
      for (let i = 0; i < this.words(register); i++) this.set(register.table, start + i, ((text.charCodeAt(2 * i) || 0) << 8) | (text.charCodeAt(2 * i + 1) || 0));
      return;
    }
    const yes = register.trueWhen?.[0] ?? 1;
    this.put({ ...register, scale: -3, negate: false }, wants ? yes : 0);
  }

  /**
   * What the master asks of the device now, mA or W; null where it asks nothing (a limit that is not
   * enabled). A register that was never written asks nothing.
   */
  asked(written: ReadonlySet<string>): number | null {
    const { write: writes, setpoint } = this.profile;
    const isWritten = (write: RegisterWrite) => written.has(`${write.table} ${this.address(write)}`);
    for (const write of writes) {
      if (write.constant === undefined || !isWritten(write)) continue;
      const holds = this.get(write.table, this.address(write)) === write.constant;
      if (write.when === "zero" && holds) return 0;
    }
    // A switch that says how long, or where from, is no enable: only one that follows the value.
    const last = writes.at(-1);
    if (last?.constant !== undefined && last.when === undefined && this.get(last.table, this.address(last)) !== last.constant) return null;
    const value = writes.find((write) => write.constant === undefined && write.table !== "coil");
    if (value === undefined || !isWritten(value)) return null;
    let milli = 0;
    for (const write of writes) {
      if (write.constant !== undefined || (write.divide === undefined && write !== value)) continue;
      milli += this.take(write);
    }
    if (value.percent) milli = (milli * this.#rated) / 100;
    return Math.round(setpoint === "A" ? milli : milli / 1000) + 0;
  }

  /** The device's own watchdog as the master has set it; null = off, or the device has none. */
  watchdog(written: ReadonlySet<string>): { readonly seconds: number; readonly to: number } | null {
    const watchdog = this.profile.watchdog;
    if (watchdog === undefined) return null;
    const scale = this.profile.setpoint === "A" ? 1 : 1000;
    let seconds = watchdog.seconds, to = watchdog.to === "safe" ? 0 : watchdog.to * (scale === 1 ? 1000 : 1);
    if (watchdog.register !== null) {
      if (!written.has(`${watchdog.register.table} ${this.address(watchdog.register)}`)) return null;
      seconds = this.take(watchdog.register) / 1000;
      if (seconds === 0) return null;
    }
    if (watchdog.fallback !== null) {
      to = this.take(watchdog.fallback) / scale;
      if (watchdog.fallback.percent) to = (to * this.#rated) / 100;
    }
    return { seconds, to: Math.round(to) + 0 };
  }
}
