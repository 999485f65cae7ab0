/**
 * Devices as physics, for emulators and simulations: no clock, no I/O, seeded. Each has
 *
 *   step(dtMs, environment)   time passes
 *   told(setpoint)            somebody wrote a setpoint: mA, W in the project's sign; null = no limit
 *   say()                     what it would put into its registers, in thousandths of the base unit
 *
 * and draws `watts` per phase (consumption positive). Numbers inside are floats of W, A, V: models are
 * the world, not the controller.
 */
import { Random } from "../../hal/sim/random.js";
import type { Quantity } from "../../src/actuation/profile.js";

export type Phases = [number, number, number];

export interface Environment {
  /** Volts per phase at the device; 0 = no such phase, or no power. */
  readonly volts: Readonly<Phases>;
  /** Irradiance as a part of the best, 0 to 1. */
  readonly sun: number;
  /** Degrees Celsius. */
  readonly outdoor: number;
}
export const MILD: Environment = { volts: [230, 230, 230], sun: 0.5, outdoor: 10 };

/** Thousandths of the base unit; `wants` 0 or 1; null = the device does not say. */
export type Saying = Partial<Record<Quantity, number | null>>;

export interface DeviceModel {
  readonly watts: Phases;
  step(dtMs: number, environment: Environment): void;
  told(setpoint: number | null): void;
  /** The setpoint that it holds, null = none. */
  readonly setpoint: number | null;
  say(): Saying;
}

const milli = (value: number): number => Math.round(value * 1000);
const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));
const toward = (value: number, target: number, step: number): number =>
  value < target ? Math.min(target, value + step) : Math.max(target, value - step);
const sumOf = (list: Phases): number => list[0] + list[1] + list[2];

/** A setpoint takes effect some seconds after it was written. */
class Delayed {
  #waiting: { value: number | null; leftMs: number }[] = [];
  value: number | null;
  constructor(initial: number | null) { this.value = initial; }
  set(value: number | null, afterMs: number): void {
    const last = this.#waiting.at(-1);
    if ((last ? last.value : this.value) === value) return;
    this.#waiting.push({ value, leftMs: afterMs });
  }
  step(dtMs: number): void {
    for (const entry of this.#waiting) entry.leftMs -= dtMs;
    while (this.#waiting.length > 0 && this.#waiting[0]!.leftMs <= 0) this.value = this.#waiting.shift()!.value;
  }
}

export interface EvOptions {
  seed: number;
  /** Phases that the car uses. Default all three. */
  phases?: readonly [boolean, boolean, boolean];
  /** What the car itself takes at most, A per phase. */
  carMaximum?: number;
  connected?: boolean;
  /** Wh until full. */
  need?: number;
  /** The charger's own limit while nobody has told it anything, mA. */
  initial?: number;
}

/**
 * A charger with a car: IEC 61851-1 gives the car 5 s to follow a lower pilot; real cars take 2 to 4,
 * start some 8 s after the pilot comes, and climb slower than they fall. Below 6 A it does not charge.
 */
export class EvModel implements DeviceModel {
  readonly watts: Phases = [0, 0, 0];
  readonly amps: Phases = [0, 0, 0];
  connected: boolean;
  need: number;
  delivered = 0;
  readonly #phases: readonly [boolean, boolean, boolean];
  readonly #maximum: number;
  readonly #followMs: number;
  readonly #startMs: number;
  readonly #pilot: Delayed;
  #told: number | null;
  #flow = 0;
  #volts: Readonly<Phases> = [230, 230, 230];

  constructor(options: EvOptions) {
    const random = new Random(options.seed);
    this.#phases = options.phases ?? [true, true, true];
    this.#maximum = options.carMaximum ?? 16;
    this.#followMs = 2_000 + random.below(2_000);
    this.#startMs = 6_000 + random.below(4_000);
    this.#told = options.initial ?? 0;
    this.#pilot = new Delayed(this.#told);
    this.connected = options.connected ?? true;
    this.need = options.need ?? 30_000;
  }

  get setpoint(): number | null { return this.#told; }
  get wants(): boolean { return this.connected && this.need > 0; }

  told(setpoint: number | null): void {
    this.#told = setpoint;
    const starts = this.#flow === 0 && (setpoint ?? 0) >= 6_000;
    this.#pilot.set(setpoint, starts ? this.#startMs : this.#followMs);
  }

  step(dtMs: number, environment: Environment): void {
    this.#volts = environment.volts;
    this.#pilot.step(dtMs);
    const pilot = (this.#pilot.value ?? this.#maximum * 1000) / 1000;
    const live = environment.volts.some((volts, i) => volts > 100 && this.#phases[i]);
    const target = live && this.wants && pilot >= 6 ? Math.min(pilot, this.#maximum) - 0.2 : 0;
    const rate = target > this.#flow ? 1.5 : 10;
    // A car opens its contactor at once when the pilot stops.
    this.#flow = target === 0 ? 0 : toward(this.#flow, target, (rate * dtMs) / 1000);
    for (let i = 0; i < 3; i++) {
      const volts = environment.volts[i]!;
      this.amps[i] = this.#phases[i] && volts > 100 ? this.#flow : 0;
      this.watts[i] = this.amps[i]! * volts;
    }
    const energy = (sumOf(this.watts) * dtMs) / 3_600_000;
    this.delivered += energy;
    this.need = Math.max(0, this.need - energy);
  }

  say(): Saying {
    return {
      current_l1: milli(this.amps[0]), current_l2: milli(this.amps[1]), current_l3: milli(this.amps[2]),
      voltage_l1: milli(this.#volts[0]), voltage_l2: milli(this.#volts[1]), voltage_l3: milli(this.#volts[2]),
      power: milli(sumOf(this.watts)), power_l1: milli(this.watts[0]), power_l2: milli(this.watts[1]), power_l3: milli(this.watts[2]),
      wants: this.wants ? 1 : 0, imported: milli(Math.floor(this.delivered)),
    };
  }
}

export interface BatteryOptions {
  seed: number;
  /** Wh. */
  capacity?: number;
  chargeMax?: number;
  dischargeMax?: number;
  /** 0 to 1. */
  charge?: number;
  phases?: readonly [boolean, boolean, boolean];
}

/** Follows its setpoint within a second or two, tapers above 95 %, stops empty at 5 %. */
export class BatteryModel implements DeviceModel {
  readonly watts: Phases = [0, 0, 0];
  /** 0 to 1. */
  charge: number;
  readonly #options: Required<BatteryOptions>;
  readonly #target: Delayed;
  readonly #delayMs: number;
  #told: number | null = null;
  #flow = 0;
  #volts: Readonly<Phases> = [230, 230, 230];
  #imported = 0;
  #exported = 0;

  constructor(options: BatteryOptions) {
    this.#options = { capacity: 10_000, chargeMax: 5_000, dischargeMax: 5_000, charge: 0.5, phases: [true, true, true], ...options };
    this.charge = this.#options.charge;
    this.#delayMs = 500 + new Random(options.seed).below(1_000);
    this.#target = new Delayed(null);
  }

  get setpoint(): number | null { return this.#told; }

  told(setpoint: number | null): void {
    this.#told = setpoint;
    this.#target.set(setpoint, this.#delayMs);
  }

  step(dtMs: number, environment: Environment): void {
    const { capacity, chargeMax, dischargeMax, phases } = this.#options;
    this.#volts = environment.volts;
    this.#target.step(dtMs);
    const taper = clamp((1 - this.charge) / 0.05, 0, 1), floor = this.charge > 0.05 ? 1 : 0;
    const target = clamp(this.#target.value ?? 0, -dischargeMax * floor, chargeMax * taper);
    this.#flow = toward(this.#flow, target, (2_500 * dtMs) / 1000);
    const live = environment.volts.map((volts, i) => volts > 100 && phases[i]!);
    const count = live.filter(Boolean).length;
    for (let i = 0; i < 3; i++) this.watts[i] = live[i] ? this.#flow / count : 0;
    const energy = count === 0 ? 0 : (this.#flow * dtMs) / 3_600_000;
    this.charge = clamp(this.charge + (energy * (energy > 0 ? 0.95 : 1 / 0.95)) / capacity, 0, 1);
    if (energy > 0) this.#imported += energy; else this.#exported -= energy;
  }

  say(): Saying {
    const amps = this.watts.map((watts, i) => (this.#volts[i]! > 100 ? watts / this.#volts[i]! : 0));
    return {
      power: milli(sumOf(this.watts)), power_l1: milli(this.watts[0]), power_l2: milli(this.watts[1]), power_l3: milli(this.watts[2]),
      current_l1: milli(amps[0]!), current_l2: milli(amps[1]!), current_l3: milli(amps[2]!),
      voltage_l1: milli(this.#volts[0]), voltage_l2: milli(this.#volts[1]), voltage_l3: milli(this.#volts[2]),
      state_of_charge: milli(this.charge * 100), imported: milli(Math.floor(this.#imported)), exported: milli(Math.floor(this.#exported)),
    };
  }
}

export interface InverterOptions {
  seed: number;
  /** W. */
  rated?: number;
  phases?: readonly [boolean, boolean, boolean];
}

/** Production follows the sun, with clouds, never above its limit; off above 253 V (EN 50549-1). */
export class InverterModel implements DeviceModel {
  readonly watts: Phases = [0, 0, 0];
  readonly rated: number;
  readonly #phases: readonly [boolean, boolean, boolean];
  readonly #random: Random;
  readonly #limit: Delayed;
  #told: number | null = null;
  #flow = 0;
  #cloud = 1;
  #cloudTarget = 1;
  #cloudLeft = 0;
  #exported = 0;
  #volts: Readonly<Phases> = [230, 230, 230];

  constructor(options: InverterOptions) {
    this.rated = options.rated ?? 5_000;
    this.#phases = options.phases ?? [true, true, true];
    this.#random = new Random(options.seed);
    this.#limit = new Delayed(null);
  }

  get setpoint(): number | null { return this.#told; }

  told(setpoint: number | null): void {
    this.#told = setpoint;
    this.#limit.set(setpoint, 1_000);
  }

  step(dtMs: number, environment: Environment): void {
    this.#volts = environment.volts;
    this.#limit.step(dtMs);
    this.#cloudLeft -= dtMs;
    if (this.#cloudLeft <= 0) {
      this.#cloudLeft = 20_000 + this.#random.below(180_000);
      this.#cloudTarget = this.#random.chance(300) ? 0.3 + this.#random.below(400) / 1000 : 1;
    }
    this.#cloud = toward(this.#cloud, this.#cloudTarget, dtMs / 15_000);
    const live = environment.volts.map((volts, i) => volts > 100 && volts < 264 && this.#phases[i]!);
    const count = live.filter(Boolean).length;
    const possible = this.rated * clamp(environment.sun, 0, 1) * this.#cloud;
    const target = count === 0 ? 0 : Math.min(possible, this.#limit.value ?? this.rated);
    this.#flow = toward(this.#flow, target, (this.rated * dtMs) / 2_000);
    for (let i = 0; i < 3; i++) this.watts[i] = live[i] ? -this.#flow / count : 0;
    this.#exported += (this.#flow * dtMs) / 3_600_000;
  }

  say(): Saying {
    const amps = this.watts.map((watts, i) => (this.#volts[i]! > 100 ? watts / this.#volts[i]! : 0));
    return {
      power: milli(sumOf(this.watts)), power_l1: milli(this.watts[0]), power_l2: milli(this.watts[1]), power_l3: milli(this.watts[2]),
      current_l1: milli(amps[0]!), current_l2: milli(amps[1]!), current_l3: milli(amps[2]!),
      voltage_l1: milli(this.#volts[0]), voltage_l2: milli(this.#volts[1]), voltage_l3: milli(this.#volts[2]),
      imported: 0, exported: milli(Math.floor(this.#exported)),
    };
  }
}

export interface HeatPumpOptions {
  seed: number;
  /** Electrical watts when it runs. */
  nominal?: number;
  /** Degrees Celsius wished for. */
  target?: number;
  phases?: readonly [boolean, boolean, boolean];
}

const PUMP_RUN_MIN_MS = 10 * 60_000;
const PUMP_REST_MIN_MS = 5 * 60_000;

/**
 * A house of 180 W/K and 12 kWh/K with a pump of COP 2.5 to 4.5. On/off with half a degree of
 * hysteresis and a minimum run and rest time. SG Ready: 1 stops it, 3 wishes 1.5 K more, 4 runs it.
 * A blocked pump's rest begins at the block. `told` is a power limit, for pumps that take one.
 */
export class HeatPumpModel implements DeviceModel {
  readonly watts: Phases = [0, 0, 0];
  indoor: number;
  running = false;
  contacts: { one: 0 | 1; two: 0 | 1 } = { one: 0, two: 0 };
  readonly #options: Required<HeatPumpOptions>;
  #told: number | null = null;
  #sinceMs = PUMP_RUN_MIN_MS;
  #imported = 0;

  constructor(options: HeatPumpOptions) {
    this.#options = { nominal: 2_500, target: 20, phases: [true, true, true], ...options };
    this.indoor = this.#options.target - 0.4 + new Random(options.seed).below(800) / 1000;
  }

  get setpoint(): number | null { return this.#told; }
  told(setpoint: number | null): void { this.#told = setpoint; }

  /** 1 blocked, 2 normal, 3 encouraged, 4 forced. */
  get state(): 1 | 2 | 3 | 4 {
    return this.contacts.one ? (this.contacts.two ? 4 : 1) : this.contacts.two ? 3 : 2;
  }

  step(dtMs: number, environment: Environment): void {
    const { nominal, target, phases } = this.#options;
    this.#sinceMs += dtMs;
    const wish = target + (this.state >= 3 ? 1.5 : 0);
    let run = this.running;
    if (this.state === 1) run = false;
    else if (this.state === 4) run = this.#sinceMs >= PUMP_REST_MIN_MS || this.running;
    else if (this.running) run = this.indoor < wish + 0.25 || this.#sinceMs < PUMP_RUN_MIN_MS;
    else run = this.indoor < wish - 0.25 && this.#sinceMs >= PUMP_REST_MIN_MS;
    if (run !== this.running) {
      this.running = run;
      this.#sinceMs = 0;
    }
    const live = environment.volts.map((volts, i) => volts > 100 && phases[i]!);
    const count = live.filter(Boolean).length;
    const power = run && count > 0 ? Math.min(nominal, this.#told ?? nominal) : run ? 0 : 15;
    for (let i = 0; i < 3; i++) this.watts[i] = live[i] ? power / count : 0;
    const factor = clamp(3 + environment.outdoor / 10, 2.5, 4.5);
    const heat = run ? power * factor : 0;
    this.indoor += ((heat + 350 - 180 * (this.indoor - environment.outdoor)) * dtMs) / 3_600_000 / 12_000;
    this.#imported += (power * dtMs) / 3_600_000;
  }

  say(): Saying {
    return {
      power: milli(sumOf(this.watts)), power_l1: milli(this.watts[0]), power_l2: milli(this.watts[1]), power_l3: milli(this.watts[2]),
      imported: milli(Math.floor(this.#imported)),
    };
  }
}

/** A meter in front of something: `measure` is asked at every step. */
export class MeterModel implements DeviceModel {
  readonly watts: Phases = [0, 0, 0];
  imported = 0;
  exported = 0;
  readonly setpoint = null;
  readonly #measure: () => Readonly<Phases>;
  #net: Phases = [0, 0, 0];
  #volts: Readonly<Phases> = [230, 230, 230];

  /** `measure` gives watts per phase, import positive. The meter itself draws nothing. */
  constructor(measure: () => Readonly<Phases>) { this.#measure = measure; }

  told(): void { /* a meter takes no setpoint */ }

  step(dtMs: number, environment: Environment): void {
    const [a, b, c] = this.#measure();
    this.#net = [a, b, c];
    this.#volts = environment.volts;
    const energy = ((a + b + c) * dtMs) / 3_600_000;
    if (energy > 0) this.imported += energy; else this.exported -= energy;
  }

  say(): Saying {
    const amps = this.#net.map((watts, i) => (this.#volts[i]! > 100 ? watts / this.#volts[i]! : 0));
    return {
      power: milli(sumOf(this.#net)), power_l1: milli(this.#net[0]), power_l2: milli(this.#net[1]), power_l3: milli(this.#net[2]),
      current_l1: milli(amps[0]!), current_l2: milli(amps[1]!), current_l3: milli(amps[2]!),
      voltage_l1: milli(this.#volts[0]), voltage_l2: milli(this.#volts[1]), voltage_l3: milli(this.#volts[2]),
      imported: milli(Math.floor(this.imported)), exported: milli(Math.floor(this.exported)),
    };
  }
}

/** Contacts of a relay board. */
export class RelayModel implements DeviceModel {
  readonly watts: Phases = [0, 0, 0];
  readonly setpoint = null;
  readonly coils: (0 | 1)[];
  /** Called when a coil is written, moved or not. */
  onCoil: ((coil: number, value: 0 | 1) => void) | null = null;
  constructor(coils = 8) { this.coils = Array.from({ length: coils }, () => 0 as const); }
  told(): void { /* coils are written one by one */ }
  step(): void { /* relays keep their place */ }
  write(coil: number, value: 0 | 1): void {
    this.coils[coil] = value;
    this.onCoil?.(coil, value);
  }
  say(): Saying { return {}; }
}
