import { TARIFF_FLOOR_W, TARIFF_QUARTER_S, TARIFF_TAIL_S } from "../constants.js";
import type { Reading } from "../reading/reading.js";
import type { EpochSeconds, Millis, WattHours, Watts } from "../units.js";

/** Capacity tariff (Flanders): the running quarter-hour, by the meter's own clock. */
export interface TariffState {
  /** The reading it was made of. */
  readonly at: Millis;
  readonly meterTime: EpochSeconds | null;
  readonly imported: WattHours | null;
  /** Watt-seconds imported since the quarter began. */
  readonly used: number;
  readonly limit: Watts;
}

/** What a quarter-hour may take on average: never below 2.5 kW, nor below this month's peak, which is paid already. */
export function tariffTarget(target: Watts, monthPeak: Watts | null): Watts {
  return Math.max(target, TARIFF_FLOOR_W, monthPeak ?? 0);
}

/**
 * limit = (target energy - used) / time left in the quarter, at least 0. Used is the meter's running
 * mean where it gives one (1-0:1.4.0: energy since the quarter began, over 15 min), else the energy
 * register, else integrated power. Without a meter clock the target itself is the limit: whoever
 * never exceeds it has no mean above it.
 */
export function tariffStep(configured: Watts, state: TariffState | null, reading: Reading): TariffState {
  if (state !== null && state.at === reading.at) return state;
  const target = tariffTarget(configured, reading.monthPeak);
  const time = reading.meterTime;
  if (time === null) return { at: reading.at, meterTime: null, imported: reading.imported, used: 0, limit: target };
  const elapsed = time % TARIFF_QUARTER_S;
  const used = usedInQuarter(target, state, reading, time, elapsed);
  const left = Math.max(TARIFF_TAIL_S, TARIFF_QUARTER_S - elapsed);
  const limit = Math.max(0, Math.floor((target * TARIFF_QUARTER_S - used) / left));
  return { at: reading.at, meterTime: time, imported: reading.imported, used, limit };
}

function usedInQuarter(target: Watts, state: TariffState | null, reading: Reading, time: EpochSeconds, elapsed: number): number {
  if (reading.quarterAverage !== null) return reading.quarterAverage * TARIFF_QUARTER_S;
  const before = state === null ? null : state.meterTime;
  // Not seen how the quarter began: assume it ran at the target so far, or as now if that is more.
  if (state === null || before === null || time < before || time - before > TARIFF_QUARTER_S) {
    return Math.max(target, reading.net) * elapsed;
  }
  const power = Math.max(0, reading.net);
  const sameQuarter = Math.floor(before / TARIFF_QUARTER_S) === Math.floor(time / TARIFF_QUARTER_S);
  if (!sameQuarter) return (time - before > TARIFF_TAIL_S ? Math.max(target, power) : power) * elapsed;
  const counted = reading.imported !== null && state.imported !== null && reading.imported >= state.imported;
  const energy = counted ? ((reading.imported ?? 0) - (state.imported ?? 0)) * 3_600 : power * (time - before);
  return state.used + energy;
}
