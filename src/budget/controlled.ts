import { DERATE_ABOVE_MA } from "../constants.js";
import type { DeviceReport } from "../reading/report.js";
import type { Device, Site } from "../site.js";
import type { Millis, PerPhase } from "../units.js";
import { highestTold, type Commanded } from "./commanded.js";

/** What the controlled devices draw now, per phase and in watts, as it is counted. */
export interface Controlled {
  /** Loads (EV, battery, heat pump by Modbus): taken off the meter's value to find the rest. */
  readonly watts: number;
  readonly milliamps: readonly number[];
  readonly wattsPhase: readonly number[];
  /** Sources (battery, inverter), signed as consumption, counted so that no export is invented. */
  readonly sourceWatts: number;
  readonly sourceMilliamps: readonly number[];
  readonly sourceWattsPhase: readonly number[];
}

interface Sum { watts: number; milliamps: number[]; wattsPhase: number[] }

/**
 * While a device settles the highest of measured, commanded and commanded before counts: counting
 * the lowest invents load peaks (CONTROL). A device that does not measure draws what it was told.
 * One that is offline, or that was switched off and draws all the same, is part of the meter's value
 * and nothing is taken off for it: the others make room. Where nobody
 * measures the voltage, `low` makes watts of amperes and `high` amperes of watts: the least comes off.
 */
export function controlledDraw(site: Site, reports: readonly DeviceReport[], commanded: readonly Commanded[], low: PerPhase<number>, high: PerPhase<number>, settle: Millis, now: Millis): Controlled {
  const load: Sum = { watts: 0, milliamps: [0, 0, 0], wattsPhase: [0, 0, 0] };
  const source: Sum = { watts: 0, milliamps: [0, 0, 0], wattsPhase: [0, 0, 0] };
  for (let index = 0; index < site.devices.length; index++) {
    const device = site.devices[index]!;
    const report = reports[index];
    const told = commanded[index];
    if (report === undefined || told === undefined || !report.online) continue;
    if (device.kind === "heat_pump" && device.control === "sg_ready") continue;
    const settling = told.changedAt !== null && now - told.changedAt < settle;
    const most = highestTold(told, settle, now);
    // Told off and settled, or found before not to follow: then there is nothing to settle.
    const off = told.setpoint <= 0 && (!settling || (told.derateTo ?? null) !== null);
    if (device.kind === "ev") {
      if (!off || !draws(report, DERATE_ABOVE_MA, phaseVolts(device, low))) addCharger(load, device, report, most, settling, low);
      continue;
    }
    const measured = report.power;
    if (off && device.kind !== "inverter" && measured !== null && measured > Math.trunc((DERATE_ABOVE_MA * phaseVolts(device, low)) / 1_000_000)) {
      if (device.kind === "battery") addPower(source, device, Math.min(measured, told.setpoint), high);
      continue;
    }
    if (device.kind === "inverter") {
      addPower(source, device, measured ?? -told.setpoint, high);
      continue;
    }
    addPower(load, device, measured === null ? most : settling ? Math.max(measured, most) : measured, high);
    if (device.kind === "battery") {
      addPower(source, device, measured === null ? told.setpoint : settling ? Math.min(measured, told.setpoint) : measured, high);
    }
  }
  return {
    watts: load.watts, milliamps: load.milliamps, wattsPhase: load.wattsPhase,
    sourceWatts: source.watts, sourceMilliamps: source.milliamps, sourceWattsPhase: source.wattsPhase,
  };
}

function draws(report: DeviceReport, above: number, volts: number): boolean {
  for (let phase = 0; phase < 3; phase++) if ((report.current[phase] ?? 0) > above) return true;
  return report.power !== null && report.power > Math.trunc((above * volts) / 1_000_000);
}

function addCharger(sum: Sum, device: Device, report: DeviceReport, highest: number, settling: boolean, voltage: PerPhase<number>): void {
  const even = report.power === null ? null : Math.trunc((report.power * 1_000_000) / phaseVolts(device, voltage));
  let watts = 0;
  for (let phase = 0; phase < 3; phase++) {
    if (!device.phases[phase]) continue;
    const measured = report.current[phase] ?? even;
    const milliamps = measured === null ? highest : settling ? Math.max(measured, highest) : measured;
    const wattsHere = Math.trunc((milliamps * voltage[phase]!) / 1_000_000);
    sum.milliamps[phase]! += milliamps;
    sum.wattsPhase[phase]! += wattsHere;
    watts += wattsHere;
  }
  // Its own watts are better than amperes times volts, once they are what it was told.
  sum.watts += report.power !== null && !settling ? report.power : watts;
}

function addPower(sum: Sum, device: Device, watts: number, voltage: PerPhase<number>): void {
  const phases = phaseCount(device);
  if (phases === 0 || watts === 0) return;
  sum.watts += watts;
  for (let phase = 0; phase < 3; phase++) {
    if (!device.phases[phase]) continue;
    sum.milliamps[phase]! += Math.trunc((watts * 1_000_000) / (phases * voltage[phase]!));
    sum.wattsPhase[phase]! += Math.trunc(watts / phases);
  }
}

export function phaseCount(device: Device): number {
  return (device.phases[0] ? 1 : 0) + (device.phases[1] ? 1 : 0) + (device.phases[2] ? 1 : 0);
}

/** The voltages of the phases it uses, added: watts of a current on each of them. */
export function phaseVolts(device: Device, voltage: PerPhase<number>): number {
  return (device.phases[0] ? voltage[0] : 0) + (device.phases[1] ? voltage[1] : 0) + (device.phases[2] ? voltage[2] : 0);
}
