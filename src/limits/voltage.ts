import { MODBUS_POLL_MS, STALE_SAFE_PERIODS, VOLTAGE_PRESENT_MIN_MV } from "../constants.js";
import type { Reading } from "../reading/reading.js";
import type { DeviceReport } from "../reading/report.js";
import type { Site } from "../site.js";
import type { Millis, Millivolts, PerPhase } from "../units.js";

/** The feeder's voltage as this house sees it. */
export interface Voltage {
  readonly lowest: Millivolts;
  readonly highest: Millivolts;
  /** When it was measured, monotonic. */
  readonly at: Millis;
}

/**
 * The voltage to droop by: the meter's own, else a charger's or Modbus meter's (P1 has none before
 * DSMR 5). Null where nobody measures it or the newest measurement is older than 10 periods.
 * A phase below VOLTAGE_PRESENT_MIN_MV is a missing wire ("000.0 V"), not a low voltage. In a delta
 * net phase values read some 130 V against a star point that does not exist: no witness at all.
 */
export function voltageNow(site: Site, reading: Reading | null, device: Voltage | null, now: Millis): Voltage | null {
  if (site.connection.delta) return null;
  if (reading !== null && now - reading.at <= STALE_SAFE_PERIODS * reading.period) {
    const voltage = ofPhases(reading.voltage, site.connection.phases, reading.at);
    if (voltage !== null) return voltage;
  }
  if (device === null || now - device.at > STALE_SAFE_PERIODS * MODBUS_POLL_MS) return null;
  return device.lowest < VOLTAGE_PRESENT_MIN_MV ? null : device;
}

/** The first device's that has a fresh one: always the same one, so that the filter sees no steps between two. */
export function reportedVoltage(reports: readonly DeviceReport[], now: Millis): Voltage | null {
  for (const report of reports) {
    if (!report.online || now - report.at > STALE_SAFE_PERIODS * MODBUS_POLL_MS) continue;
    const voltage = ofPhases(report.voltage, 3, report.at);
    if (voltage !== null) return voltage;
  }
  return null;
}

function ofPhases(voltage: PerPhase<Millivolts | null>, phases: 1 | 3, at: Millis): Voltage | null {
  let lowest = 0;
  let highest = 0;
  for (let p = 0; p < phases; p++) {
    const v = voltage[p as 0 | 1 | 2];
    if (v === null || v < VOLTAGE_PRESENT_MIN_MV) continue;
    if (lowest === 0 || v < lowest) lowest = v;
    if (v > highest) highest = v;
  }
  return lowest > 0 ? { lowest, highest, at } : null;
}
