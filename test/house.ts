/** A house in closed loop for the law's tests: loads that walk, devices that answer late, a meter that rounds. */
import type { Setpoint } from "../src/allocation/decision.js";
import type { Limit, Limits } from "../src/limits/limit.js";
import { NO_LIMIT } from "../src/limits/limit.js";
import type { Reading } from "../src/reading/reading.js";
import type { DeviceReport } from "../src/reading/report.js";
import type { Device, Site } from "../src/site.js";

/** mulberry32: the same seed gives the same house. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function testSite(devices: readonly Device[], over: Partial<Site> = {}): Site {
  return {
    serial: "VN0001", ean: null, msr: null,
    connection: { phases: 3, delta: false, fuse: 25_000, importMax: null, exportMax: null },
    failsafe: { importLimit: 4_200, exportLimit: null, duration: 7_200_000 },
    autonomousImport: null, tariffTarget: null, ownerImport: null, ownerExport: null, par14a: false, hasOperator: true,
    inputs: [], devices, ...over,
  };
}

export const ev = (id: string, over: Partial<Extract<Device, { kind: "ev" }>> = {}): Device =>
  ({ kind: "ev", id, priority: 1, phases: [true, true, true], minimum: 6_000, maximum: 16_000, step: 1_000, ...over });
export const battery = (id: string, over: Partial<Extract<Device, { kind: "battery" }>> = {}): Device =>
  ({ kind: "battery", id, priority: 5, phases: [true, false, false], chargeMax: 3_000, dischargeMax: 3_000, step: 10, ...over });
export const inverter = (id: string, over: Partial<Extract<Device, { kind: "inverter" }>> = {}): Device =>
  ({ kind: "inverter", id, priority: 5, phases: [true, true, true], rated: 8_000, safe: 8_000, step: 10, ...over });
export const sgPump = (id: string, over: Partial<Extract<Device, { control: "sg_ready" }>> = {}): Device =>
  ({ kind: "heat_pump", control: "sg_ready", id, priority: 2, phases: [true, true, true], nominal: 3_000, ...over });
export const powerPump = (id: string, over: Partial<Extract<Device, { control: "power" }>> = {}): Device =>
  ({ kind: "heat_pump", control: "power", id, priority: 2, phases: [true, true, true], minimum: 1_000, maximum: 4_000, step: 100, safe: 1_000, ...over });

export const limit = (watts: number, source: Exclude<Limit, { kind: "none" }>["source"] = "cap"): Limit => ({ kind: "limit", watts, source, id: "e1", until: null });

export function testLimits(site: Site, over: Partial<Limits> = {}): Limits {
  const fuse = site.connection.fuse - 1_000;
  return {
    state: "controlled", import: NO_LIMIT, export: NO_LIMIT, controllable: NO_LIMIT, production: NO_LIMIT,
    fuse: site.connection.phases === 1 ? [fuse, 0, 0] : [fuse, fuse, fuse], emergency: false, next: null, weighed: [], ...over,
  };
}

export function report(over: Partial<DeviceReport> = {}): DeviceReport {
  return { online: true, at: 0, power: null, current: [null, null, null], voltage: [null, null, null], wants: null, stateOfCharge: null, applied: null, fault: null, ...over };
}

/** A reading whose amperes and watts agree at `volts`; per phase in W, import positive. */
export function testReading(at: number, watts: readonly [number, number, number], over: Partial<Reading> = {}): Reading {
  return {
    source: "p1", at, period: 1_000, net: watts[0] + watts[1] + watts[2], power: [...watts],
    current: watts.map((w) => Math.sign(w) * Math.round(Math.abs(w) / 230) * 1_000) as [number, number, number], currentWhole: true,
    voltage: [230_000, 230_000, 230_000], imported: null, exported: null, quarterAverage: null, monthPeak: null, meterTime: null, ...over,
  };
}

export interface HouseOptions {
  readonly seed: number;
  readonly period: number;
  /** Mean base load per phase and how far it walks, W. */
  readonly base: number;
  readonly swing: number;
  /** Chance per second of an appliance being switched, and its watts at most. */
  readonly appliance: number;
  readonly applianceWatts: number;
  /** Which devices report power and current. */
  readonly measures: readonly boolean[];
  readonly sun: number;
  /** What a car or pump would take at most, as a share of its maximum. */
  readonly appetite: readonly number[];
  readonly meter: "dsmr5" | "dsmr4" | "net_only" | "no_current" | "belgian";
}

interface Plant { drawn: number; told: [number, number][]; delay: number }

/** One second at a time. */
export class House {
  readonly #random: () => number;
  readonly #plants: Plant[];
  readonly #base: [number, number, number];
  readonly #appliances: { phase: number; watts: number; until: number }[] = [];
  #now = 0;
  #lastReport: DeviceReport[];
  readonly site: Site;
  readonly options: HouseOptions;

  constructor(site: Site, options: HouseOptions) {
    this.site = site;
    this.options = options;
    this.#random = random(options.seed);
    this.#base = [options.base, options.base, options.base];
    this.#plants = site.devices.map(() => ({ drawn: 0, told: [], delay: 1_000 + Math.floor(this.#random() * 2_500) }));
    this.#lastReport = site.devices.map(() => report());
  }

  /** What each device truly draws now: an EV in mA per phase, all others in W. */
  drawn(): number[] {
    return this.#plants.map((plant) => plant.drawn);
  }

  /** True power of each phase now, W. */
  phases(): [number, number, number] {
    const out: [number, number, number] = [...this.#base];
    for (const one of this.#appliances) out[one.phase]! += one.watts;
    this.site.devices.forEach((device, i) => {
      const n = device.phases.filter(Boolean).length;
      for (let p = 0; p < 3; p++) {
        if (device.phases[p]) out[p]! += device.kind === "ev" ? (this.#plants[i]!.drawn * 230) / 1_000 : this.#plants[i]!.drawn / n;
      }
    });
    if (this.site.connection.phases === 1) return [out[0], 0, 0];
    return out;
  }

  /** Ends the second: devices follow what they were told `delay` ago, loads walk. */
  step(setpoints: readonly Setpoint[], online: readonly boolean[]): void {
    this.#now += 1_000;
    const { options } = this;
    for (let p = 0; p < 3; p++) {
      const pull = (options.base - this.#base[p]!) / 60;
      this.#base[p] = Math.round(this.#base[p]! + pull + (this.#random() - 0.5) * options.swing);
    }
    if (this.#random() < options.appliance) {
      this.#appliances.push({ phase: Math.floor(this.#random() * 3), watts: Math.round(500 + this.#random() * options.applianceWatts), until: this.#now + 20_000 + this.#random() * 600_000 });
    }
    for (let i = this.#appliances.length - 1; i >= 0; i--) if (this.#appliances[i]!.until < this.#now) this.#appliances.splice(i, 1);
    this.site.devices.forEach((device, i) => {
      const plant = this.#plants[i]!;
      if (online[i]!) plant.told.push([this.#now + plant.delay, setpoints[i]!.value]);
      let told = 0;
      while (plant.told.length > 1 && plant.told[1]![0] <= this.#now) plant.told.shift();
      if (plant.told.length > 0 && plant.told[0]![0] <= this.#now) told = plant.told[0]![1];
      else if (device.kind === "heat_pump" && device.control === "sg_ready") told = 2;
      const appetite = options.appetite[i] ?? 1;
      if (device.kind === "inverter") plant.drawn = -Math.min(told, Math.round(device.rated * options.sun * (0.8 + 0.2 * Math.sin(this.#now / 97_000))));
      else if (device.kind === "battery") plant.drawn = told;
      else if (device.kind === "heat_pump" && device.control === "sg_ready") plant.drawn = told === 1 ? 0 : Math.round(device.nominal * appetite);
      else plant.drawn = Math.min(told, Math.round(device.maximum * appetite));
    });
  }

  reports(online: readonly boolean[]): readonly DeviceReport[] {
    // As of a second ago: a poll takes its time.
    const seen = this.#lastReport;
    this.#lastReport = this.site.devices.map((device, i) => {
      const drawn = this.#plants[i]!.drawn;
      if (!online[i]!) return report({ online: false });
      if (!this.options.measures[i]) return report();
      if (device.kind === "ev") return report({ power: Math.round((drawn * 230 * device.phases.filter(Boolean).length) / 1_000), current: device.phases.map((used) => (used ? drawn : 0)) as [number, number, number] });
      return report({ power: drawn });
    });
    return seen.map((one, i) => (one.online === online[i]! ? one : this.#lastReport[i]!));
  }

  reading(): Reading {
    const [a, b, c] = this.phases();
    const watts: [number, number, number] = [Math.round(a), Math.round(b), Math.round(c)];
    const { meter, period } = this.options;
    const single = this.site.connection.phases === 1;
    const reading = testReading(this.#now, watts, { period });
    const mask = <T,>(values: readonly (T | null)[]): [T | null, T | null, T | null] => [values[0]!, single ? null : values[1]!, single ? null : values[2]!];
    const none: [null, null, null] = [null, null, null];
    if (meter === "net_only") return { ...reading, power: none, current: none, voltage: none };
    if (meter === "dsmr4") return { ...reading, power: mask(reading.power), current: mask(reading.current), voltage: none };
    if (meter === "no_current") return { ...reading, power: mask(reading.power), current: none, voltage: mask(reading.voltage) };
    if (meter === "belgian") return { ...reading, power: mask(reading.power), current: mask(watts.map((w) => Math.round(w / 2.3) * 10)), currentWhole: false, voltage: mask(reading.voltage) };
    return { ...reading, power: mask(reading.power), current: mask(reading.current), voltage: mask(reading.voltage) };
  }
}
