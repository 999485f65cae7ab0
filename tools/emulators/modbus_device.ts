/**
 * An emulated Modbus device: a profile's registers (register_map.ts) backed by a model (models.ts),
 * with the device's own watchdog and with faults that a test can set while it runs. It knows PDUs
 * only; modbus_server.ts puts it on TCP or a serial line, real or in virtual time.
 */
import type { Profile, RegisterTable } from "../../src/actuation/profile.js";
import { RelayModel, type DeviceModel, type Environment } from "./models.js";
import { RegisterMap } from "./register_map.js";

/** Settings that may change at any time. */
export interface DeviceFaults {
  /** Takes requests, answers none, does nothing. */
  silent: boolean;
  /** Answers every request with this exception code. */
  exception: number | null;
  /** Answers this much late. */
  delayMs: number;
  /** Answers in the name of another unit. */
  wrongUnit: boolean;
  /** Only the first half of an answer goes out. */
  torn: boolean;
  /** Acknowledges writes and forgets them. */
  deaf: boolean;
}

export interface DeviceWrite {
  readonly table: RegisterTable;
  readonly address: number;
  readonly words: readonly number[];
}

export interface DeviceOptions {
  profile: Profile;
  model: DeviceModel;
  /** Default: the profile's. */
  unit?: number;
  /** What 100 % is, in watts. Default 5,000. */
  rated?: number;
  onWrite?: (write: DeviceWrite, asked: number | null) => void;
}

const ILLEGAL_FUNCTION = 1, ILLEGAL_ADDRESS = 2, ILLEGAL_VALUE = 3;

export class EmulatedDevice {
  readonly profile: Profile;
  readonly model: DeviceModel;
  readonly unit: number;
  readonly registers: RegisterMap;
  readonly faults: DeviceFaults = { silent: false, exception: null, delayMs: 0, wrongUnit: false, torn: false, deaf: false };
  /** True while the device is where its own watchdog put it. */
  fallen = false;
  /** Since the last write (or request, as the maker counts). */
  silenceMs = 0;
  readonly #written = new Set<string>();
  readonly #onWrite: DeviceOptions["onWrite"];

  constructor(options: DeviceOptions) {
    this.profile = options.profile;
    this.model = options.model;
    this.unit = options.unit ?? options.profile.unit;
    this.#onWrite = options.onWrite;
    const coils = options.model instanceof RelayModel ? options.model.coils.length : 0;
    this.registers = new RegisterMap(options.profile, options.rated ?? 5_000, coils);
    this.#refresh();
  }

  /** Time passes for the model and the watchdog. */
  step(dtMs: number, environment: Environment): void {
    this.silenceMs += dtMs;
    const watchdog = this.registers.watchdog(this.#written);
    if (watchdog !== null && this.silenceMs >= watchdog.seconds * 1000 && !this.fallen) {
      this.fallen = true;
      this.model.told(watchdog.to);
    }
    this.model.step(dtMs, environment);
    this.#refresh();
  }

  /** Power was cut: what the maker keeps in RAM is gone. */
  restart(): void {
    this.#written.clear();
    this.fallen = false;
    this.silenceMs = 0;
    this.model.told(this.profile.kind === "ev" ? 0 : null);
  }

  #refresh(): void {
    this.registers.refresh(this.model.say());
    const { readBack } = this.profile, held = this.model.setpoint;
    // A register that the master writes holds what he wrote; a status register shows what is in force.
    const shows = readBack && !this.registers.isWritable(readBack.table, this.registers.address(readBack));
    if (shows && held !== null) this.registers.put(readBack, this.profile.setpoint === "A" ? held : held * 1000);
    if (this.model instanceof RelayModel) this.model.coils.forEach((value, coil) => this.registers.set("coil", coil, value));
  }

  /** One request PDU to one answer PDU; null = no answer. */
  answer(request: Uint8Array): Uint8Array | null {
    if (this.faults.silent) return null;
    const code = request[0] ?? 0;
    if (this.faults.exception !== null) return exception(code, this.faults.exception);
    if (code >= 1 && code <= 4) return this.#read(code, request);
    if (code === 5 || code === 6 || code === 15 || code === 16) return this.#write(code, request);
    return exception(code, ILLEGAL_FUNCTION);
  }

  #read(code: number, request: Uint8Array): Uint8Array {
    if (request.length !== 5) return exception(code, ILLEGAL_VALUE);
    const address = u16(request, 1), count = u16(request, 3), bits = code <= 2;
    const most = bits ? 2000 : this.profile.readMax ?? 125;
    if (count < 1 || count > most) return exception(code, ILLEGAL_VALUE);
    const table: RegisterTable = bits ? "coil" : code === 3 ? "holding" : "input";
    const words: number[] = [];
    for (let i = 0; i < count; i++) {
      const word = this.registers.get(table, address + i);
      if (word === undefined) return exception(code, ILLEGAL_ADDRESS);
      words.push(word);
    }
    // ABB counts any read as a sign of life.
    if (this.profile.id === "abb_terra_ac") this.#alive();
    const bytes = new Uint8Array(2 + (bits ? (count + 7) >> 3 : 2 * count));
    bytes[0] = code;
    bytes[1] = bytes.length - 2;
    words.forEach((word, i) => {
      if (bits) bytes[2 + (i >> 3)]! |= (word & 1) << (i & 7);
      else put16(bytes, 2 + 2 * i, word);
    });
    return bytes;
  }

  #write(code: number, request: Uint8Array): Uint8Array {
    const address = u16(request, 1), coil = code === 5 || code === 15;
    if (request.length < 5) return exception(code, ILLEGAL_VALUE);
    const words: number[] = [];
    if (code === 5) {
      const value = u16(request, 3);
      if (request.length !== 5 || (value !== 0 && value !== 0xff00)) return exception(code, ILLEGAL_VALUE);
      words.push(value === 0 ? 0 : 1);
    } else if (code === 6) {
      if (request.length !== 5) return exception(code, ILLEGAL_VALUE);
      words.push(u16(request, 3));
    } else {
      const count = u16(request, 3), bytes = request[5] ?? 0;
      if (count < 1 || bytes !== (coil ? (count + 7) >> 3 : 2 * count) || request.length !== 6 + bytes) return exception(code, ILLEGAL_VALUE);
      for (let i = 0; i < count; i++) words.push(coil ? (request[6 + (i >> 3)]! >> (i & 7)) & 1 : u16(request, 6 + 2 * i));
    }
    // go-e takes function 16 alone, KEBA 6 alone.
    if ((this.profile.id === "go_e" && code === 6) || (this.profile.writeFunction === 6 && code === 16)) return exception(code, ILLEGAL_FUNCTION);
    const table: RegisterTable = coil ? "coil" : "holding";
    for (let i = 0; i < words.length; i++) if (!this.registers.isWritable(table, address + i)) return exception(code, ILLEGAL_ADDRESS);
    if (!this.faults.deaf) this.#take({ table, address, words });
    return request.slice(0, 5);
  }

  #take(write: DeviceWrite): void {
    write.words.forEach((word, i) => {
      this.registers.set(write.table, write.address + i, word);
      this.#written.add(`${write.table} ${write.address + i}`);
      if (write.table === "coil" && this.model instanceof RelayModel) this.model.write(write.address + i, word === 0 ? 0 : 1);
    });
    this.#alive();
    const asked = this.registers.asked(this.#written);
    if (asked !== this.model.setpoint || this.fallen) this.model.told(asked ?? (this.profile.kind === "ev" ? 0 : null));
    this.fallen = false;
    this.#refresh();
    this.#onWrite?.(write, asked);
  }

  #alive(): void {
    this.silenceMs = 0;
  }
}

export const exception = (code: number, number: number): Uint8Array => Uint8Array.of(code | 0x80, number);
const u16 = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 0xff;
}

/** A model as its Modbus device lets time pass for it: the device's watchdog comes first. */
export function stepped(device: EmulatedDevice): DeviceModel {
  const { model } = device;
  return {
    get watts() { return model.watts; },
    get setpoint() { return model.setpoint; },
    step: (dtMs, environment) => device.step(dtMs, environment),
    told: (setpoint) => model.told(setpoint),
    say: () => model.say(),
  };
}
