/**
 * Contacts in and out: the SG Ready pair on GPIO or on a Modbus relay board, and the relay inputs of
 * a ripple-control receiver or control box.
 *
 *   ContactMove[] ──► ContactExecutor ── one move, confirmed, then the next ──► ContactDriver
 */
import {
  CONTACT_DEBOUNCE_MS, CONTACT_REOPEN_MS, CONTACT_RETRY_MS, CONTACT_SAMPLE_MS, DEVICE_OFFLINE_MS,
} from "../constants.js";
import type { Digital, DigitalConstructor, Timer, TimerId } from "../../hal/ecma419.js";
import type { ContactMove } from "../actuation/command.js";
import { sgReadyState } from "../actuation/sg_ready.js";
import { SILENT } from "../reading/report.js";
import type { DeviceReport } from "../reading/report.js";
import type { Millis } from "../units.js";
import type { ModbusBus } from "./modbus_bus.js";

/** Moves one contact and says on a later turn, once, whether it is there: null, or the named fault. */
export interface ContactDriver {
  write(contact: 1 | 2, value: 0 | 1, done: (fault: string | null) => void): void;
  /** Null: there is no bus that could go silent. */
  readonly lastAnswer: Millis | null | "no_bus";
  close(): void;
}

/**
 * Carries out lists of moves strictly in their order, each confirmed before the next. A newer list
 * takes over between two moves: its order holds from every position (actuation/sg_ready.ts). A move
 * that fails stops its list, because the next one alone could give a state nobody asked for (block
 * with contact 2 stuck is "forced on"), and the list is tried again until it succeeds or a newer comes.
 */
export class ContactExecutor {
  readonly #driver: ContactDriver;
  readonly #timer: Timer;
  readonly #monotonic: () => Millis;
  #list: readonly ContactMove[] = [];
  #next = 0;
  #newest: readonly ContactMove[] | null = null;
  #moving = false;
  #closed = false;
  #retry: TimerId | undefined;
  #fault: string | null = null;
  #confirmedAt: Millis = 0;
  /** Where each contact was last confirmed; null = not known. */
  #at: [0 | 1 | null, 0 | 1 | null] = [null, null];

  constructor(options: { driver: ContactDriver; timer: Timer; monotonic: () => Millis }) {
    this.#driver = options.driver;
    this.#timer = options.timer;
    this.#monotonic = options.monotonic;
  }

  execute(moves: readonly ContactMove[]): void {
    if (this.#closed) return;
    this.#newest = moves;
    if (!this.#moving) this.#step();
  }

  /** `applied`: the SG Ready state that the confirmed contacts give. */
  report(): DeviceReport {
    const now = this.#monotonic();
    const { lastAnswer } = this.#driver;
    const online = lastAnswer === "no_bus" || (lastAnswer !== null && now - lastAnswer < DEVICE_OFFLINE_MS);
    const [one, two] = this.#at;
    return {
      ...SILENT, online, at: this.#confirmedAt, fault: this.#fault,
      applied: one === null || two === null ? null : sgReadyState({ one, two }),
    };
  }

  close(): void {
    this.#closed = true;
    this.#timer.clear(this.#retry);
    this.#retry = undefined;
    this.#driver.close();
  }

  #step(): void {
    if (this.#newest !== null) {
      this.#list = this.#newest;
      this.#newest = null;
      this.#next = 0;
      this.#timer.clear(this.#retry);
      this.#retry = undefined;
    }
    const move = this.#list[this.#next];
    if (move === undefined) {
      this.#fault = null;
      return;
    }
    this.#moving = true;
    this.#driver.write(move.contact, move.value, (fault) => this.#moved(move, fault));
  }

  #moved(move: ContactMove, fault: string | null): void {
    this.#moving = false;
    if (this.#closed) return;
    if (fault === null) {
      this.#at[move.contact - 1] = move.value;
      this.#confirmedAt = this.#monotonic();
      this.#next++;
      return this.#step();
    }
    this.#at[move.contact - 1] = null;
    // A wait after a fault is not the fault: what began it stays named.
    if (fault !== "backing_off" || this.#fault === null) this.#fault = fault;
    if (this.#newest !== null) return this.#step();
    this.#next = 0;
    this.#retry = this.#timer.set(() => {
      this.#retry = undefined;
      if (!this.#moving) this.#step();
    }, CONTACT_RETRY_MS);
  }
}

export interface GpioContactsOptions {
  io: DigitalConstructor;
  /** Of contact 1 and 2. */
  pins: readonly [number | string, number | string];
  activeLow?: boolean;
  /** True where the host can read an output's level: a contact that does not follow is then seen. */
  readBack?: boolean;
  timer: Timer;
}

/** Faults: "contact_unwritable" (pin missing or refused), "contact_stuck" (only with `readBack`). */
export class GpioContacts implements ContactDriver {
  readonly lastAnswer = "no_bus";
  #options: GpioContactsOptions;
  #open: [Digital | null, Digital | null] = [null, null];
  #closed = false;

  constructor(options: GpioContactsOptions) {
    this.#options = options;
    // Open contacts, 0:0, are state 2, normal: the safe one, and there from the first moment.
    this.#pin(0);
    this.#pin(1);
  }

  write(contact: 1 | 2, value: 0 | 1, done: (fault: string | null) => void): void {
    const fault = this.#closed ? "contact_unwritable" : this.#set(contact === 1 ? 0 : 1, value);
    this.#options.timer.set(() => done(fault), 0);
  }

  #set(index: 0 | 1, value: 0 | 1): string | null {
    const pin = this.#pin(index);
    if (pin === null) return "contact_unwritable";
    try {
      pin.write(value);
      return this.#options.readBack && pin.read() !== value ? "contact_stuck" : null;
    } catch {
      // An expander may have fallen off its bus: opened afresh the next time.
      closeQuietly(pin);
      this.#open[index] = null;
      return "contact_unwritable";
    }
  }

  #pin(index: 0 | 1): Digital | null {
    const { io, pins, activeLow = false } = this.#options;
    if (this.#open[index] === null) {
      try {
        this.#open[index] = new io({ pin: pins[index], mode: "output", activeLow, initialValue: 0 });
      } catch {
        return null;
      }
    }
    return this.#open[index];
  }

  close(): void {
    this.#closed = true;
    for (const pin of this.#open) if (pin !== null) closeQuietly(pin);
    this.#open = [null, null];
  }
}

export interface ModbusContactsOptions {
  bus: ModbusBus;
  unit: number;
  /** Coil addresses of contact 1 and 2, as on the wire. */
  coils: readonly [number, number];
  monotonic: () => Millis;
}

/** Each write is read back. Faults: "contact_stuck", or the bus' rule ("timeout", "exception_2", ...). */
export class ModbusContacts implements ContactDriver {
  lastAnswer: Millis | null = null;
  #options: ModbusContactsOptions;

  constructor(options: ModbusContactsOptions) {
    this.#options = options;
  }

  write(contact: 1 | 2, value: 0 | 1, done: (fault: string | null) => void): void {
    this.#attempt(contact, value, 2, done);
  }

  #attempt(contact: 1 | 2, value: 0 | 1, attempts: number, done: (fault: string | null) => void): void {
    const { bus, unit, coils, monotonic } = this.#options;
    const address = contact === 1 ? coils[0] : coils[1];
    bus.request(unit, { function: 5, address, value: value === 1 }, (written) => {
      if (!written.ok) return done(written.rule);
      bus.request(unit, { function: 1, address, count: 1 }, (read) => {
        if (!read.ok) return done(read.rule);
        this.lastAnswer = monotonic();
        if (read.values[0] === value) return done(null);
        if (attempts > 1) return this.#attempt(contact, value, attempts - 1, done);
        done("contact_stuck");
      });
    });
  }

  /** The bus is its owner's. */
  close(): void {}
}

export interface InputPin {
  readonly pin: number | string;
  readonly activeLow?: boolean;
  /** A pull-up that makes a broken wire read as the contact's open side. */
  readonly pullUp?: boolean;
}

interface InputState {
  readonly pin: InputPin;
  digital: Digital | null;
  reopenAt: Millis;
  value: boolean | null;
  /** What the newest samples say, and since when. */
  candidate: boolean | null;
  since: Millis;
}

/**
 * Relay inputs, debounced: true = active. An input that cannot be opened or read is null at once,
 * which counts as active; it has a value again when it has been steady for CONTACT_DEBOUNCE_MS.
 */
export class ContactInputs {
  readonly #io: DigitalConstructor;
  readonly #timer: Timer;
  readonly #monotonic: () => Millis;
  readonly #inputs: InputState[];
  readonly #changed: (() => void) | null;
  #sampling: TimerId | undefined;

  /** `changed`: some value is another now; called from the sampling timer. */
  constructor(options: { io: DigitalConstructor; inputs: readonly InputPin[]; timer: Timer; monotonic: () => Millis; changed?: () => void }) {
    this.#io = options.io;
    this.#timer = options.timer;
    this.#monotonic = options.monotonic;
    this.#changed = options.changed ?? null;
    this.#inputs = options.inputs.map((pin) => ({ pin, digital: null, reopenAt: 0, value: null, candidate: null, since: 0 }));
    const now = this.#monotonic();
    // The first sample counts as it is: there is no older state that it could bounce from.
    for (const input of this.#inputs) input.value = input.candidate = this.#read(input, now);
    if (this.#inputs.length > 0) this.#sampling = this.#timer.repeat(() => this.#sample(), CONTACT_SAMPLE_MS);
  }

  /** In the order of site.inputs. */
  values(): (boolean | null)[] {
    return this.#inputs.map((input) => input.value);
  }

  close(): void {
    this.#timer.clear(this.#sampling);
    this.#sampling = undefined;
    for (const input of this.#inputs) {
      if (input.digital !== null) closeQuietly(input.digital);
      input.digital = null;
      input.value = null;
    }
  }

  #sample(): void {
    const now = this.#monotonic();
    let changed = false;
    for (const input of this.#inputs) {
      const read = this.#read(input, now);
      if (read !== input.candidate) {
        input.candidate = read;
        input.since = now;
      }
      const settled = read === null || now - input.since >= CONTACT_DEBOUNCE_MS;
      if (!settled || input.value === read) continue;
      input.value = read;
      changed = true;
    }
    if (changed) this.#changed?.();
  }

  #read(input: InputState, now: Millis): boolean | null {
    try {
      if (input.digital === null) {
        if (now < input.reopenAt) return null;
        const { pin, activeLow = false, pullUp = false } = input.pin;
        input.reopenAt = now + CONTACT_REOPEN_MS;
        input.digital = new this.#io({ pin, activeLow, mode: pullUp ? "inputPullUp" : "input" });
      }
      return input.digital.read() === 1;
    } catch {
      if (input.digital !== null) closeQuietly(input.digital);
      input.digital = null;
      return null;
    }
  }
}

function closeQuietly(pin: Digital): void {
  try {
    pin.close();
  } catch {
    // Nothing is lost: the pin is not used any more.
  }
}
