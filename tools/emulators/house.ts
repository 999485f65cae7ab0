/**
 * A household for emulators and simulations: base load per phase, the devices of models.ts, and a
 * simple grid in front of it. No clock and no I/O: `step` makes time pass. One seed, one winter day.
 *
 *   step → base load + devices → watts per phase → volts (grid impedance) → amps, energies
 */
import { Random, seedOf } from "../../hal/sim/random.js";
import type { DeviceModel, Environment, Phases } from "./models.js";

export interface HouseOptions {
  seed: number;
  phases?: 1 | 3;
  devices?: readonly DeviceModel[];
  /** Milliseconds since midnight at the start. Default 0. */
  timeOfDay?: number;
  /** 1 to 365. Default 15, mid-January. */
  day?: number;
  /** Volts at the transformer's end, and ohms to there and back per phase. */
  gridVolts?: number;
  gridOhms?: number;
  /** The street's own ups and downs, volts at most. Default 2. */
  gridSwing?: number;
}

export interface HousePhase {
  /** Net, import positive. */
  readonly watts: number;
  readonly volts: number;
  /** Signed like watts, reactive part included. */
  readonly amps: number;
}

const DAY_MS = 86_400_000, HOUR_MS = 3_600_000;

/** Loads that come and go: watts, how long, how often a day, when, and on which phase. */
interface Appliance {
  readonly watts: number;
  readonly onMs: readonly [number, number];
  readonly perDay: number;
  readonly hours: readonly [number, number];
  readonly phase: 0 | 1 | 2;
  /** Thermostat: on and off within one use, milliseconds. */
  readonly cycle?: readonly [number, number];
}
const MINUTE_MS = 60_000;
const APPLIANCES: readonly Appliance[] = [
  { watts: 90, onMs: [12 * MINUTE_MS, 20 * MINUTE_MS], perDay: 36, hours: [0, 24], phase: 0 },                               // fridge
  { watts: 2_200, onMs: [2 * MINUTE_MS, 4 * MINUTE_MS], perDay: 6, hours: [6, 23], phase: 1 },                               // kettle
  { watts: 2_400, onMs: [35 * MINUTE_MS, 60 * MINUTE_MS], perDay: 0.7, hours: [16, 20], phase: 2, cycle: [90_000, 60_000] }, // oven
  { watts: 1_800, onMs: [15 * MINUTE_MS, 30 * MINUTE_MS], perDay: 1.4, hours: [11, 20], phase: 0, cycle: [12_000, 9_000] },  // induction
  { watts: 1_600, onMs: [10 * MINUTE_MS, 25 * MINUTE_MS], perDay: 1, hours: [16, 20], phase: 1, cycle: [8_000, 10_000] },    // second ring
  { watts: 2_000, onMs: [18 * MINUTE_MS, 30 * MINUTE_MS], perDay: 0.8, hours: [8, 22], phase: 2 },                           // washing, heating up
  { watts: 1_900, onMs: [15 * MINUTE_MS, 25 * MINUTE_MS], perDay: 0.8, hours: [19, 23], phase: 1 },                          // dishes
  { watts: 120, onMs: [90 * MINUTE_MS, 240 * MINUTE_MS], perDay: 1, hours: [17, 22], phase: 0 },                             // television
];

class Running {
  left = 0;
  #inCycle = 0;
  readonly appliance: Appliance;
  readonly #random: Random;
  constructor(appliance: Appliance, seed: number) {
    this.appliance = appliance;
    this.#random = new Random(seed);
  }

  step(dtMs: number, hour: number): number {
    const { perDay, hours, onMs, cycle, watts } = this.appliance;
    if (this.left <= 0) {
      const open = hour >= hours[0] && hour < hours[1];
      const chance = open ? (perDay * dtMs) / ((hours[1] - hours[0]) * HOUR_MS) : 0;
      // Drawn in every step, so that what is on does not change the luck of later.
      if (this.#random.u32() / 0x1_0000_0000 >= chance) return 0;
      this.left = onMs[0] + this.#random.below(onMs[1] - onMs[0]);
      this.#inCycle = 0;
    }
    this.left -= dtMs;
    if (cycle === undefined) return watts;
    this.#inCycle = (this.#inCycle + dtMs) % (cycle[0] + cycle[1]);
    return this.#inCycle < cycle[0] ? watts : 0;
  }
}

export class HouseModel {
  readonly devices: readonly DeviceModel[];
  /** Wh since the start. */
  imported = 0;
  exported = 0;
  /** Milliseconds since the start. */
  elapsed = 0;
  /** Adds to a phase's base load: a test's own load. */
  readonly extra: Phases = [0, 0, 0];
  /** Volts added to the grid: a test's weak or high street. */
  readonly offset: Phases = [0, 0, 0];
  readonly #options: Required<HouseOptions>;
  readonly #random: Random;
  readonly #running: readonly Running[];
  readonly #standby: Phases;
  #base: Phases = [0, 0, 0];
  #net: Phases = [0, 0, 0];
  #volts: Phases;
  #swing = 0;
  #cloud = 0;

  constructor(options: HouseOptions) {
    this.#options = { phases: 3, devices: [], timeOfDay: 0, day: 15, gridVolts: 233, gridOhms: 0.25, gridSwing: 2, ...options };
    this.devices = this.#options.devices;
    this.#random = new Random(seedOf(options.seed, "grid"));
    this.#running = APPLIANCES.map((appliance, i) => new Running(appliance, seedOf(options.seed, `appliance${i}`)));
    this.#standby = [60 + this.#random.below(60), 25 + this.#random.below(40), 15 + this.#random.below(30)];
    this.#volts = this.#live([this.#options.gridVolts, this.#options.gridVolts, this.#options.gridVolts]);
    this.#cloud = this.#random.below(1000) / 1000;
  }

  /** What the devices see: volts, sun, outdoor temperature. */
  environment(): Environment {
    return { volts: this.#volts, sun: this.#sun(), outdoor: this.#outdoor() };
  }

  step(dtMs: number): void {
    this.elapsed += dtMs;
    const environment = this.environment();
    for (const device of this.devices) device.step(dtMs, environment);
    const hour = (this.timeOfDay / HOUR_MS) % 24;
    const base: Phases = [0, 0, 0];
    for (let i = 0; i < 3; i++) base[i] = this.#standby[i]! * (0.95 + this.#random.below(100) / 1000) + this.extra[i]!;
    for (const running of this.#running) base[running.appliance.phase] += running.step(dtMs, hour);
    if (this.#options.phases === 1) this.#base = [base[0] + base[1] + base[2], 0, 0];
    else this.#base = base;
    const net: Phases = [...this.#base];
    for (const device of this.devices) for (let i = 0; i < 3; i++) net[i]! += device.watts[i]!;
    this.#net = this.#live(net);
    this.#settle(dtMs);
    const energy = (sum(this.#net) * dtMs) / HOUR_MS;
    if (energy > 0) this.imported += energy; else this.exported -= energy;
  }

  /** The voltage follows the load through the grid's impedance, and the street as it likes. */
  #settle(dtMs: number): void {
    const { gridVolts, gridOhms, gridSwing } = this.#options;
    this.#swing += ((this.#random.below(2001) / 1000 - 1) * gridSwing - this.#swing) * Math.min(1, dtMs / 120_000);
    const volts: Phases = [0, 0, 0];
    for (let i = 0; i < 3; i++) {
      const source = gridVolts + this.#swing + this.offset[i]!;
      volts[i] = Math.max(0, source - (this.#net[i]! / Math.max(100, this.#volts[i] || source)) * gridOhms);
    }
    this.#volts = this.#live(volts);
  }

  #live(list: Phases): Phases {
    return this.#options.phases === 1 ? [list[0], 0, 0] : list;
  }

  /** Milliseconds since midnight. */
  get timeOfDay(): number { return (this.#options.timeOfDay + this.elapsed) % DAY_MS; }
  get day(): number { return this.#options.day + Math.floor((this.#options.timeOfDay + this.elapsed) / DAY_MS); }

  /** Sine of the sun's height at 52 degrees north, 1 at the best of summer; solar noon at 12:40. */
  #sun(): number {
    const declination = -0.409 * Math.cos((2 * Math.PI * (this.day + 10)) / 365), latitude = 0.908;
    const angle = ((this.timeOfDay - 12.67 * HOUR_MS) / DAY_MS) * 2 * Math.PI;
    const height = Math.sin(latitude) * Math.sin(declination) + Math.cos(latitude) * Math.cos(declination) * Math.cos(angle);
    return Math.max(0, height / 0.88) * (1 - 0.3 * this.#cloud);
  }

  #outdoor(): number {
    const season = 10.5 - 7.5 * Math.cos((2 * Math.PI * (this.day - 20)) / 365);
    return season - 3 * Math.cos((2 * Math.PI * (this.timeOfDay - 3 * HOUR_MS)) / DAY_MS) - 2 * this.#cloud;
  }

  /** At the meter. */
  phases(): readonly [HousePhase, HousePhase, HousePhase] {
    return [this.#phase(0), this.#phase(1), this.#phase(2)];
  }

  #phase(i: 0 | 1 | 2): HousePhase {
    const watts = this.#net[i], volts = this.#volts[i];
    // Power factor 0.97 of what is not resistive: currents are a little above watts / volts.
    const amps = volts > 50 ? (watts / volts) * 1.01 : 0;
    return { watts, volts, amps };
  }

  /** What the household itself draws, without the devices, per phase. */
  get base(): Readonly<Phases> { return this.#base; }
  /** Sum at the meter, import positive. */
  get net(): number { return sum(this.#net); }
  /** Watts per phase at the meter, for MeterModel. */
  get netPhases(): Readonly<Phases> { return this.#net; }
}

const sum = (list: Readonly<Phases>): number => list[0] + list[1] + list[2];
