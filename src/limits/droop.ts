import {
  DROOP_DITHER_MV, DROOP_EXPORT_FLOOR_MV, DROOP_EXPORT_FULL_MV, DROOP_EXPORT_TRIP_MV, DROOP_FLOOR_MV, DROOP_FULL_MV,
  DROOP_LOCKOUT_MAX_MS, DROOP_LOCKOUT_MIN_MS, DROOP_RISE_GAP_MAX_MS, DROOP_TAU_DOWN_MS, DROOP_TAU_UP_MS,
  DROOP_TRIP_AFTER_MS, DROOP_TRIP_MV,
} from "../constants.js";
import type { Millis, Millivolts, Permille } from "../units.js";
import { spread16, spreadOver } from "./spread.js";

/**
 * Voltage droop (CONTROL, "Voltage droop"). One law serves both directions: `x` is the lowest phase
 * voltage for import, and minus the highest for export, so that a smaller x always means less room.
 */
export interface DroopLaw {
  readonly name: "import" | "export";
  readonly full: Millivolts;
  readonly floor: Millivolts;
  readonly trip: Millivolts;
  readonly tauDown: Millis;
  readonly tauUp: Millis;
}

export const DROOP_IMPORT: DroopLaw = {
  name: "import", full: DROOP_FULL_MV, floor: DROOP_FLOOR_MV, trip: DROOP_TRIP_MV,
  tauDown: DROOP_TAU_DOWN_MS, tauUp: DROOP_TAU_UP_MS,
};
/** P(U) of EN 50549-1, the mirror. */
export const DROOP_EXPORT: DroopLaw = {
  name: "export", full: -DROOP_EXPORT_FULL_MV, floor: -DROOP_EXPORT_FLOOR_MV, trip: -DROOP_EXPORT_TRIP_MV,
  tauDown: DROOP_TAU_DOWN_MS, tauUp: DROOP_TAU_UP_MS,
};

export interface DroopState {
  /** Filtered x in microvolts, so that an integer filter with tau 600 s does not stand still. */
  readonly filtered: number | null;
  /** When the voltage last stepped was measured; null before the first. */
  readonly at: Millis | null;
  /** 1000 = no limit, 0 = the floor. */
  readonly fraction: Permille;
  /** Since when x has been beyond the trip voltage. */
  readonly tripSince: Millis | null;
  /** At the floor, and held there until the lockout that begins with the voltage's return is over. */
  readonly floored: boolean;
  readonly lockoutUntil: Millis | null;
  /** Lockouts served: each one has another random length. */
  readonly restarts: number;
  /** Droop acts, or did until a volt ago: kept over a reboot, which then begins at the floor. */
  readonly low: boolean;
}

export function droopStart(low: boolean): DroopState {
  return {
    filtered: null, at: null, fraction: low ? 0 : 1_000, tripSince: null, floored: low, lockoutUntil: null, restarts: 0, low,
  };
}

/**
 * One measured voltage. Called once per measurement, not per tick, so that the filter does not
 * depend on how often the controller looks; without measurements the fraction stands.
 * First-order filter in its implicit form, f += (x - f) dt/(tau + dt): stable for any dt, and integer
 * arithmetic gives the same bits on every engine, which an exponential does not promise.
 */
export function droopStep(law: DroopLaw, state: DroopState, x: Millivolts, at: Millis, serial: string): DroopState {
  if (state.at !== null && at <= state.at) return state;
  if (state.filtered !== null && !state.low && !state.floored && x >= law.full + DROOP_DITHER_MV) {
    // An ordinary voltage, whatever this house's dither is.
    const filtered = filter(law, state, x, at, law.floor);
    if (filtered >= (law.full + DROOP_DITHER_MV) * 1_000) {
      return { filtered, at, fraction: 1_000, tripSince: null, floored: false, lockoutUntil: null, restarts: state.restarts, low: false };
    }
  }
  const dither = Math.floor((spread16(serial, "dither") * 2 * DROOP_DITHER_MV) / 65_536) - DROOP_DITHER_MV;
  const floor = law.floor + dither;

  let filtered = filter(law, state, x, at, floor);
  const tripSince = x < law.trip ? (state.tripSince ?? at) : null;
  const tripped = tripSince !== null && at - tripSince >= DROOP_TRIP_AFTER_MS;

  let floored = state.floored || tripped || (x <= floor && filtered <= floor * 1_000);
  let lockoutUntil: Millis | null = null;
  let restarts = state.restarts;
  if (floored && !tripped && x > floor) {
    lockoutUntil = state.lockoutUntil ?? at + lockout(serial, law.name, restarts);
    if (at >= lockoutUntil) {
      floored = false;
      lockoutUntil = null;
      restarts++;
    }
  }
  // Held at the floor meanwhile, so that the rise afterwards begins there and not in its middle.
  if (floored) filtered = Math.min(filtered, floor * 1_000);

  const fraction = floored ? 0 : clamp(Math.floor((filtered - floor * 1_000) / (law.full - law.floor)));
  const low = fraction < 1_000 || (state.low && filtered < (law.full + dither + 1_000) * 1_000);
  return { filtered, at, fraction, tripSince, floored, lockoutUntil, restarts, low };
}

function filter(law: DroopLaw, state: DroopState, x: Millivolts, at: Millis, floor: Millivolts): number {
  const target = x * 1_000;
  if (state.filtered === null || state.at === null) return state.low ? Math.min(target, floor * 1_000) : target;
  // Bounded, so that the product stays an exact integer after a day without measurements.
  const dt = Math.min(at - state.at, law.tauUp);
  const error = target - state.filtered;
  if (error < 0) return state.filtered + Math.trunc((error * dt) / (law.tauDown + dt));
  const rise = Math.min(dt, DROOP_RISE_GAP_MAX_MS);
  return state.filtered + Math.trunc((error * rise) / (law.tauUp + rise));
}

function lockout(serial: string, name: string, restarts: number): Millis {
  return DROOP_LOCKOUT_MIN_MS + spreadOver(DROOP_LOCKOUT_MAX_MS - DROOP_LOCKOUT_MIN_MS, serial, `lockout ${name} ${restarts}`);
}

function clamp(permille: number): Permille {
  return permille < 0 ? 0 : permille > 1_000 ? 1_000 : permille;
}
