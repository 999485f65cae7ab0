import {
  CURRENT_ROUNDING_MA, VOLTAGE_DELTA_HIGHEST_MV, VOLTAGE_DELTA_LOWEST_MV, VOLTAGE_HIGHEST_MV, VOLTAGE_LOWEST_MV, VOLTAGE_PRESENT_MIN_MV,
} from "../constants.js";
import type { Reading } from "../reading/reading.js";
import type { DeviceReport } from "../reading/report.js";
import type { Site } from "../site.js";
import type { Millivolts } from "../units.js";

/** Phase voltages where somebody measures them: the meter first, then a device. Null = nobody. */
export function measuredVoltage(reading: Reading | null, reports: readonly DeviceReport[], phase: 0 | 1 | 2): Millivolts | null {
  const own = reading === null ? null : reading.voltage[phase];
  // A phase that reads 000.0 V is one the meter does not measure (METER, quirks).
  if (own !== null && own >= VOLTAGE_PRESENT_MIN_MV) return own;
  for (let index = 0; index < reports.length; index++) {
    const report = reports[index]!;
    const volts = report.online ? report.voltage[phase] : null;
    if (volts !== null && volts >= VOLTAGE_PRESENT_MIN_MV) return volts;
  }
  return null;
}

export function lowestVoltage(site: Site): Millivolts {
  return site.connection.delta ? VOLTAGE_DELTA_LOWEST_MV : VOLTAGE_LOWEST_MV;
}

export function highestVoltage(site: Site): Millivolts {
  return site.connection.delta ? VOLTAGE_DELTA_HIGHEST_MV : VOLTAGE_HIGHEST_MV;
}

/** Signed power of a phase; null where the meter does not tell. A single phase carries the net. */
export function phasePower(site: Site, reading: Reading, phase: 0 | 1 | 2): number | null {
  return site.connection.phases === 1 ? reading.net : reading.power[phase];
}

/**
 * Signed current of a phase in mA: sign(P) · max(|P|/V, I − 0.5 A where amperes are whole). The
 * meter's amperes are unsigned even during export; a missing current leaves |P|/V, a missing power
 * leaves the current as import. Null where there is neither.
 *
 * Without a measured voltage |P| is divided by the lowest one a net may have where it flows in the
 * `strict` direction (1 import, -1 export), which must not be underestimated, by the highest where it
 * flows the other way; yet to no more than the next whole ampere, unless the current cannot be true.
 */
export function phaseCurrent(site: Site, reading: Reading, phase: 0 | 1 | 2, volts: Millivolts | null, strict: 1 | -1): number | null {
  const power = phasePower(site, reading, phase);
  const amperes = reading.current[phase];
  const shown = amperes === null ? null : Math.abs(amperes);
  const least = shown === null ? 0 : Math.max(0, reading.currentWhole ? shown - CURRENT_ROUNDING_MA : shown);
  if (power === null) return amperes === null ? null : amperes < 0 ? -least : least;
  const size = Math.abs(power) * 1_000_000;
  const along = (power < 0) === (strict < 0);
  let fromPower = along ? Math.ceil(size / (volts ?? lowestVoltage(site))) : Math.floor(size / (volts ?? highestVoltage(site)));
  if (volts === null && shown !== null && along) {
    const most = shown + (reading.currentWhole ? 1_000 : 10);
    if (fromPower > most && Math.ceil(size / highestVoltage(site)) <= most) fromPower = most;
  }
  const current = Math.max(fromPower, least);
  return power < 0 ? -current : current;
}
