/** What the checker knows of a house: volts, amperes and watts of its devices. Shares no code with src: types only. */
import type { Setpoint } from "../../src/allocation/decision.js";
import type { Limits } from "../../src/limits/limit.js";
import type { Reading } from "../../src/reading/reading.js";
import type { DeviceReport } from "../../src/reading/report.js";
import type { Device, Site } from "../../src/site.js";

export interface Observation {
  /** One clock for the whole trial, in ms; it goes on through reboots. */
  readonly now: number;
  /** A reading that came since the last observation, else null. */
  readonly reading: Reading | null;
  readonly limits: Limits;
  readonly reports: readonly DeviceReport[];
  /** What each device is told in this tick, in the order of site.devices. */
  readonly setpoints: readonly Setpoint[];
  /** Which devices were written in this tick; left out where nothing is written. */
  readonly written?: readonly number[];
}

export interface Breach {
  readonly invariant: number;
  readonly at: number;
  readonly detail: string;
}

export const MARGIN_W = 100;
export const FUSE_MARGIN_MA = 1_000;

export class CheckedHouse {
  readonly #site: Site;
  reading: Reading | null = null;

  constructor(site: Site) {
    this.#site = site;
  }

  draws(device: Device, report: DeviceReport): number | null {
    const amps = report.current.filter((a, p) => a !== null && device.phases[p]) as number[];
    if (amps.length > 0) return Math.max(...amps);
    return report.power === null ? null : (report.power * 1_000_000) / this.volts(device, []);
  }

  voltage(phase: number, reports: readonly DeviceReport[]): number {
    const own = this.reading?.voltage[phase] ?? null;
    if (own !== null && own > 50_000) return own;
    for (const report of reports) if (report.online && (report.voltage[phase] ?? 0) > 50_000) return report.voltage[phase]!;
    return this.#site.connection.delta ? 132_800 : 230_000;
  }

  volts(device: Device, reports: readonly DeviceReport[]): number {
    return [0, 1, 2].reduce((sum, p) => sum + (device.phases[p] ? this.voltage(p, reports) : 0), 0);
  }

  wattsOf(device: Device, milliamps: number, reports: readonly DeviceReport[]): number {
    return (milliamps * this.volts(device, reports)) / 1_000_000;
  }

  ampsOf(device: Device, watts: number, phase: number, reports: readonly DeviceReport[]): number {
    return (watts * 1_000_000) / (device.phases.filter(Boolean).length * this.voltage(phase, reports));
  }
}

/** sign(P) · max(|P|/V, I − 0.5 A); null where the meter does not tell. */
export function signedAmps(site: Site, reading: Reading, phase: number): number | null {
  const power = site.connection.phases === 1 ? reading.net : reading.power[phase] ?? null;
  const volts = reading.voltage[phase] ?? 0;
  const amps = reading.current[phase] ?? null;
  if (power === null) return null;
  const most = site.connection.delta ? 146_100 : 253_000;
  const size = Math.max((Math.abs(power) * 1_000_000) / (volts > 50_000 ? volts : most), amps === null ? 0 : Math.abs(amps) - (reading.currentWhole ? 500 : 0));
  return power < 0 ? -size : size;
}

export function load(d: Device): boolean {
  return d.kind === "ev" || (d.kind === "heat_pump" && d.control === "power");
}

export function isSg(device: Device): boolean {
  return device.kind === "heat_pump" && device.control === "sg_ready";
}

export function range(device: Device): [number, number] {
  if (device.kind === "battery") return [-device.dischargeMax, device.chargeMax];
  if (device.kind === "inverter") return [0, device.rated];
  if (device.kind === "heat_pump" && device.control === "sg_ready") return [1, 4];
  return [device.minimum, device.maximum];
}

export function stepOf(device: Device): number {
  return device.kind === "heat_pump" && device.control === "sg_ready" ? 1 : device.step;
}

export function safe(device: Device): number {
  if (device.kind === "inverter") return device.safe;
  if (device.kind === "heat_pump") return device.control === "sg_ready" ? 2 : device.safe;
  return 0;
}
