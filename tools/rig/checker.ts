/**
 * An independent judge of CONTROL.md's invariants. It sees only what crosses the wire (readings,
 * device reports, the limits in force, setpoints, time) and shares no code with src: types only.
 * It holds the load's peaks for 30 s and knows no decay, and where the meter does not tell, it
 * assumes the least, so that a law may be more careful than it asks, never less.
 *
 * 9 (determinism), 13 (tokens) and most of 7 need more than one run or other eyes, and are tested
 * where they can be seen.
 */
import type { Reading } from "../../src/reading/reading.js";
import type { DeviceReport } from "../../src/reading/report.js";
import type { Site } from "../../src/site.js";
import { CheckedHouse, FUSE_MARGIN_MA, isSg, load, MARGIN_W, range, safe, signedAmps, stepOf, type Breach, type Observation } from "./checker_house.js";
import { priorityBreaches } from "./checker_priorities.js";

export type { Breach, Observation } from "./checker_house.js";

type Load = [number, number | null, number | null, number | null];
interface Block { start: number; end: number | null; cut: boolean }

interface Watch {
  value: number | null;
  /** Every setpoint of the last half minute, with the time it was replaced. */
  past: { value: number; until: number }[];
  changedAt: number | null;
  offAt: number | null;
  writtenAt: number | null;
  /** Last time it was offline, not wanting, or drew more than it was told. */
  oddAt: number | null;
  blocks: Block[];
}

const DAY = 86_400_000;
/** Whole watts and milliamps on both sides of every sum. */
const ROUND = 20;
const HOLD = 30_000;

export class Checker {
  readonly breaches: Breach[] = [];
  readonly #site: Site;
  readonly #watch: Watch[];
  readonly #house: CheckedHouse;
  #now = 0;
  #startedAt = 0;
  #reading: Reading | null = null;
  #readingAt = 0;
  /** Load beside the controlled devices as the newest telegram shows it, W, L1, L2, L3. */
  #load: Load | null = null;
  /** The same at least: what is surely not theirs. */
  #sure: Load | null = null;
  #loads: { at: number; load: Load }[] = [];
  #overSince: [number | null, number | null, number | null, number | null] = [null, null, null, null];
  #allowed: { at: number; watts: number }[] = [];
  #signature = "";
  #quietSince = 0;
  #release: { id: string; watts: number } | null = null;

  constructor(site: Site) {
    this.#site = site;
    this.#house = new CheckedHouse(site);
    this.#watch = site.devices.map(() => ({ value: null, past: [], changedAt: null, offAt: null, writtenAt: null, oddAt: null, blocks: [] }));
  }

  /** The controller lost its power: what it remembers is gone, what the pumps suffered is not. */
  restart(now: number): void {
    this.#startedAt = now;
    this.#reading = this.#house.reading = null;
    this.#load = null;
    this.#loads = [];
    this.#overSince = [null, null, null, null];
    this.#quietSince = now;
    // A release may fall back to where it began: without its clock the controller knows no better.
    this.#release = null;
    for (const watch of this.#watch) {
      const last = watch.blocks.at(-1);
      if (last !== undefined && last.end === null) Object.assign(last, { end: now, cut: true });
      Object.assign(watch, { value: null, past: [], changedAt: null, offAt: null, writtenAt: null, oddAt: null });
    }
  }

  /** One tick. Returns the breaches found in it; all of them are kept in `breaches`. */
  observe(seen: Observation): readonly Breach[] {
    const from = this.breaches.length;
    this.#now = seen.now;
    while (this.#loads.length > 1 && this.#loads[0]!.at < seen.now - HOLD) this.#loads.shift();
    if (seen.reading !== null) this.#takeReading(seen, seen.reading);
    this.#grid(seen);
    this.#beforeFirstTelegram(seen);
    this.#sumsFit(seen);
    this.#noRiseWithoutTelegrams(seen);
    this.#riseIsSlow(seen);
    this.#offTime(seen);
    this.#obeyed(seen);
    this.#releaseOnlyRises(seen);
    this.#heatPumps(seen);
    this.#rewritten(seen);
    this.#remember(seen);
    this.#priorities(seen);
    return this.breaches.slice(from);
  }

  #breach(invariant: number, detail: string): void {
    this.breaches.push({ invariant, at: this.#now, detail });
  }

  // 1
  #grid({ setpoints }: Observation): void {
    this.#site.devices.forEach((device, i) => {
      const value = setpoints[i]!.value;
      const [low, high] = range(device);
      const off = value === 0 || (device.kind === "heat_pump" && device.control === "power" && value === device.safe);
      const step = device.kind === "heat_pump" && device.control === "sg_ready" ? 1 : device.step;
      if (!off && (value < low || value > high)) this.#breach(1, `${device.id} told ${value}, outside ${low}..${high}`);
      const safe = (device.kind === "inverter" || (device.kind === "heat_pump" && device.control === "power")) && value === device.safe;
      if (!safe && value % step !== 0) this.#breach(1, `${device.id} told ${value}, not on its grid of ${step}`);
    });
  }

  // 14
  #beforeFirstTelegram({ setpoints }: Observation): void {
    if (this.#reading !== null) return;
    this.#site.devices.forEach((device, i) => {
      const value = setpoints[i]!.value;
      if (value > safe(device) || (value !== 2 && isSg(device))) this.#breach(14, `${device.id} told ${value} before the first telegram`);
    });
  }

  // 2, and the "same tick" of 6
  #sumsFit({ limits, setpoints, reports }: Observation): void {
    if (!this.#fresh()) return;
    let watts = 0;
    let production = 0;
    const amps = [0, 0, 0];
    this.#site.devices.forEach((device, i) => {
      const value = setpoints[i]!.value;
      if (isSg(device) || !reports[i]!.online) return;
      if (device.kind === "inverter") production += value;
      if (device.kind === "battery" && value < 0) production -= value;
      if (device.kind === "inverter" || value <= 0) return;
      watts += device.kind === "ev" ? this.#house.wattsOf(device, value, reports) : value;
      for (let p = 0; p < 3; p++) {
        if (device.phases[p]) amps[p]! += device.kind === "ev" ? value : this.#house.ampsOf(device, value, p, reports);
      }
    });
    const held = this.#held();
    for (let p = 0; p < this.#site.connection.phases; p++) {
      const load = held[p + 1];
      if (load === null || load === undefined) continue;
      const may = Math.max(0, this.#site.connection.fuse - FUSE_MARGIN_MA - load);
      if (amps[p]! > may + ROUND + amps[p]! / 50) this.#breach(2, `L${p + 1}: told ${Math.round(amps[p]!)} mA together, ${Math.round(may)} left beside ${Math.round(load)}`);
    }
    const loadWatts = held[0]!;
    if (limits.import.kind === "limit") {
      const may = Math.max(0, limits.import.watts - MARGIN_W - loadWatts);
      if (watts > may + ROUND) this.#breach(2, `told ${Math.round(watts)} W together, ${Math.round(may)} left under ${limits.import.source} ${limits.import.watts} W`);
    }
    if (limits.controllable.kind === "limit") {
      const may = Math.max(0, limits.controllable.watts + Math.max(0, -loadWatts));
      if (watts > may + ROUND) this.#breach(2, `controllable devices told ${Math.round(watts)} W, ${Math.round(may)} allowed`);
    }
    if (limits.production.kind === "limit" && production > limits.production.watts + ROUND) {
      this.#breach(2, `producers told ${Math.round(production)} W, ${limits.production.watts} allowed`);
    }
  }

  // 3
  #noRiseWithoutTelegrams({ setpoints, reports }: Observation): void {
    if (this.#reading === null) return;
    const age = this.#now - this.#readingAt;
    const stale = age > 10 * this.#reading.period;
    if (age <= 5 * this.#reading.period) return;
    this.#site.devices.forEach((device, i) => {
      const value = setpoints[i]!.value;
      const was = this.#watch[i]!.value;
      const limit = safe(device);
      const blocking = isSg(device) && value === 1 && this.#watch[i]!.blocks.some((b) => b.end === null && this.#now - b.start < 600_000);
      if (stale && !blocking && (isSg(device) ? value !== 2 : value > limit || (device.kind === "battery" && value !== 0))) {
        this.#breach(3, `${device.id} told ${value} with a meter ${age} ms silent; safe is ${limit}`);
      }
      // Falling back to the safe value is no rise, and neither is the end of a block.
      if (was !== null && value > was && value > limit && reports[i]!.online) this.#breach(3, `${device.id} raised from ${was} to ${value}, meter ${age} ms silent`);
    });
  }

  // 4
  #riseIsSlow({ setpoints, reports }: Observation): void {
    this.#site.devices.forEach((device, i) => {
      const watch = this.#watch[i]!;
      const value = setpoints[i]!.value;
      if (isSg(device) || watch.value === null || value <= watch.value || value <= safe(device)) return;
      const [low] = range(device);
      if (watch.value === 0 && low > 0) {
        if (value > Math.ceil(low / stepOf(device)) * stepOf(device)) this.#breach(4, `${device.id} starts at ${value}, minimum ${low}`);
        return;
      }
      const scale = device.kind === "ev" ? 1 : this.#house.wattsOf(device, 1_000, reports) / 1_000;
      const since = watch.changedAt === null ? 15_000 : this.#now - watch.changedAt;
      const may = Math.min(3_000, since / 5) * scale;
      if (value - watch.value > may * 1.001 + 1) this.#breach(4, `${device.id} raised by ${value - watch.value} after ${since} ms, ${Math.round(may)} allowed`);
    });
  }

  // 5
  #offTime({ setpoints }: Observation): void {
    this.#site.devices.forEach((device, i) => {
      const watch = this.#watch[i]!;
      if (device.kind !== "ev" && !(device.kind === "heat_pump" && device.control === "power")) return;
      if (watch.value === 0 && setpoints[i]!.value > 0 && watch.offAt !== null && this.#now - watch.offAt < 300_000) {
        this.#breach(5, `${device.id} on again after ${this.#now - watch.offAt} ms off`);
      }
    });
  }

  // 6: measured, once everything had its time to answer and where the rest of the house allows it
  #obeyed({ limits, reading, reports }: Observation): void {
    if (reading === null) return;
    // 10 s for a cap, and 14 s was the longest over a fuse while loads came one after another (CONTROL's table).
    // A device that does not measure is believed until it has settled; only then the meter shows it lied.
    const blind = this.#site.devices.some((device, i) => (load(device) || device.kind === "battery") && reports[i]!.power === null && reports[i]!.current.every((one) => one === null));
    const patience = (reading.period <= 2_000 ? 15_000 : 72_000) + (blind ? this.#settle() + 5_000 : 0);
    const beside = this.#sure!;
    const odd = this.#watch.some((w) => w.oddAt !== null && this.#now - w.oddAt < 60_000);
    // A limit that falls (the tariff's) is met once the devices had their time: what held then counts.
    this.#allowed = this.#allowed.filter(({ at }) => at >= this.#now - this.#settle());
    if (limits.import.kind === "limit") this.#allowed.push({ at: this.#now, watts: limits.import.watts });
    const settledWatts = limits.import.kind === "limit" && this.#allowed.every(({ watts }) => reading.net > watts) && beside[0] <= limits.import.watts - MARGIN_W;
    const places: [string, boolean][] = [[`net ${reading.net} W`, settledWatts]];
    for (let p = 0; p < 3; p++) {
      const amps = p < this.#site.connection.phases ? signedAmps(this.#site, reading, p) : null;
      const rest = beside[p + 1] as number | null;
      places.push([`L${p + 1} ${amps} mA`, amps !== null && rest !== null && amps > this.#site.connection.fuse && rest <= this.#site.connection.fuse - FUSE_MARGIN_MA]);
    }
    places.forEach(([what, over], place) => {
      // A load that nobody controls and that rises at this very time is followed, not foreseen.
      const before = this.#loads.find(({ at }) => at >= this.#now - 20_000)?.load[place] ?? null;
      if (before !== null && (this.#load?.[place] ?? 0) > before + (place === 0 ? 300 : 1_500)) return;
      if (!over || odd) this.#overSince[place] = null;
      else {
        this.#overSince[place] ??= this.#now;
        if (this.#now - this.#overSince[place] > patience) this.#breach(6, `${what} above its limit for ${this.#now - this.#overSince[place]} ms`);
      }
    });
  }

  // 7, what can be seen of it here
  #releaseOnlyRises({ limits }: Observation): void {
    const limit = limits.import;
    if (limit.kind === "none" || limit.source !== "release") {
      this.#release = null;
      return;
    }
    if (this.#release?.id === limit.id && limit.watts < this.#release.watts) this.#breach(7, `release ${limit.id} falls from ${this.#release.watts} to ${limit.watts} W`);
    this.#release = { id: limit.id, watts: limit.watts };
  }

  // 8
  #heatPumps({ setpoints, limits }: Observation): void {
    this.#site.devices.forEach((device, i) => {
      if (!isSg(device)) return;
      const { blocks } = this.#watch[i]!;
      const last = blocks.at(-1);
      const open = last !== undefined && last.end === null ? last : null;
      const state = setpoints[i]!.value;
      if (state !== 1) {
        if (open === null) return;
        open.end = this.#now;
        if (this.#now - open.start < 600_000) this.#breach(8, `${device.id} unblocked after ${this.#now - open.start} ms`);
        return;
      }
      const recent = blocks.filter((b) => (b.end ?? this.#now) > this.#now - DAY);
      if (open === null) {
        if (last !== undefined && this.#now - last.end! < 600_000) this.#breach(8, `${device.id} blocked ${this.#now - last.end!} ms after the last block`);
        if (recent.length >= 3) this.#breach(8, `${device.id}: block ${recent.length + 1} in 24 h`);
        if (recent.length >= 2 && !limits.emergency) this.#breach(8, `${device.id}: the reserved block spent without emergency`);
        blocks.push({ start: this.#now, end: null, cut: false });
      }
      const used = recent.reduce((sum, b) => sum + (b.end ?? this.#now) - Math.max(b.start, this.#now - DAY), 0);
      if (used > 7_200_000) this.#breach(8, `${device.id} blocked ${used} ms in 24 h`);
      if (used > 5_400_000 && !limits.emergency && open !== null && this.#now - open.start > 600_000) this.#breach(8, `${device.id}: the reserved 30 min spent without emergency, ${used} ms`);
    });
  }

  // 10
  #rewritten({ written, reports }: Observation): void {
    if (written === undefined) return;
    this.#watch.forEach((watch, i) => {
      if (written.includes(i)) watch.writtenAt = this.#now;
      const silent = this.#now - (watch.writtenAt ?? this.#startedAt);
      if (silent > 11_000 && reports[i]!.online) this.#breach(10, `${this.#site.devices[i]!.id} not written for ${silent} ms`);
    });
  }

  #remember({ setpoints, limits, reports, reading }: Observation): void {
    // 12: what the house and its limits say; our own setpoints come back through reading and reports.
    const signature = JSON.stringify([
      limits.import, limits.export, limits.controllable, limits.production, limits.fuse, limits.emergency,
      reports.map((r) => [r.online, r.wants, r.stateOfCharge]), this.#fresh(), this.#load, reading?.period,
    ]);
    if (signature !== this.#signature) this.#quietSince = this.#now;
    this.#signature = signature;
    // A start, a stop or a state is a change of its own, and moves the others with it.
    setpoints.forEach(({ value }, i) => {
      const was = this.#watch[i]!.value;
      if (value !== was && (was === null || (value === 0) !== (was === 0) || isSg(this.#site.devices[i]!))) this.#quietSince = this.#now;
    });
    setpoints.forEach(({ value }, i) => {
      const watch = this.#watch[i]!;
      const device = this.#site.devices[i]!;
      if (!reports[i]!.online || reports[i]!.wants === false) watch.oddAt = this.#now;
      if (value === watch.value) return;
      // An inverter that does not tell what it makes is felt for, step by step.
      const felt = device.kind === "inverter" && reports[i]!.power === null;
      if (!felt && this.#now - this.#quietSince > 200_000) this.#breach(12, `${device.id} from ${watch.value} to ${value} after ${this.#now - this.#quietSince} ms without a change`);
      if (watch.value !== null && watch.value > 0 && value <= 0) watch.offAt = this.#now;
      if (watch.value !== null) {
        watch.past.push({ value: watch.value, until: this.#now });
        watch.past = watch.past.filter((told) => this.#now - told.until < HOLD);
        watch.changedAt = this.#now;
      }
      watch.value = value;
    });
  }

  // 11
  #priorities({ limits, reports }: Observation): void {
    if (!this.#fresh()) return;
    const calm = (i: number) => this.#now - Math.max(this.#watch[i]!.changedAt ?? this.#startedAt, this.#watch[i]!.oddAt ?? this.#startedAt) > 360_000;
    for (const detail of priorityBreaches({
      site: this.#site, house: this.#house, told: this.#watch.map(({ value }) => value), held: this.#held(), calm, limits, reports,
    })) this.#breach(11, detail);
  }

  #fresh(): boolean {
    return this.#reading !== null && this.#now - this.#readingAt < 5 * this.#reading.period;
  }

  #settle(): number {
    return this.#reading === null || this.#reading.period <= 2_000 ? 10_000 : 25_000;
  }

  /** The highest load of the last 30 s: W, L1, L2, L3; null where a phase is not told. */
  #held(): (number | null)[] {
    return [0, 1, 2, 3].map((place) => this.#loads.reduce<number | null>((most, { load }) => {
      const value = load[place]!;
      return load[place] === null ? most : most === null ? value : Math.max(most, value);
    }, null));
  }

  #takeReading({ now, reports }: Observation, reading: Reading): void {
    this.#reading = this.#house.reading = reading;
    this.#readingAt = now;
    this.#load = this.#beside(reading, now, reports, Math.max);
    this.#sure = this.#beside(reading, now, reports, Math.min);
    this.#loads.push({ at: now, load: this.#load });
    this.#site.devices.forEach((device, i) => {
      const watch = this.#watch[i]!;
      const draws = this.#house.draws(device, reports[i]!);
      if (watch.value === null || isSg(device) || draws === null || device.kind === "inverter") return;
      const scale = device.kind === "ev" ? 1 : this.#house.wattsOf(device, 1_000, reports) / 1_000;
      const settling = watch.changedAt !== null && now - watch.changedAt < this.#settle();
      if (!settling && draws > watch.value / scale + 1_000) watch.oddAt = now;
    });
  }

  /** The meter's value less the controlled devices: what they draw, and while they settle the most or the least it can be. */
  #beside(reading: Reading, now: number, reports: readonly DeviceReport[], pick: (...values: number[]) => number): Load {
    const load: Load = [reading.net, null, null, null];
    for (let p = 0; p < this.#site.connection.phases; p++) load[p + 1] = signedAmps(this.#site, reading, p);
    this.#site.devices.forEach((device, i) => {
      const watch = this.#watch[i]!;
      const report = reports[i]!;
      if (isSg(device) || device.kind === "inverter" || !report.online || watch.value === null) return;
      const settling = watch.changedAt !== null && now - watch.changedAt < this.#settle();
      const told = pick(watch.value, ...watch.past.filter((past) => now - past.until < this.#settle()).map((past) => past.value));
      const drawn = (measured: number | null) => (measured === null ? told : settling ? pick(told, measured) : measured);
      let watts = 0;
      for (let p = 0; p < 3; p++) {
        if (!device.phases[p] || device.kind !== "ev") continue;
        const amps = drawn(report.current[p] ?? (report.power === null ? null : (report.power * 1_000_000) / this.#house.volts(device, reports)));
        watts += (amps * this.#house.voltage(p, reports)) / 1_000_000;
        if (load[p + 1] !== null) (load[p + 1] as number) -= amps;
      }
      if (device.kind === "ev") {
        load[0] -= report.power !== null && !settling ? report.power : watts;
        return;
      }
      load[0] -= drawn(report.power);
      for (let p = 0; p < 3; p++) {
        if (device.phases[p] && load[p + 1] !== null) (load[p + 1] as number) -= this.#house.ampsOf(device, drawn(report.power), p, reports);
      }
    });
    return load;
  }
}
