import { PEAK_DECAY_TAU_MS, PEAK_HOLD_MS } from "../constants.js";
import type { Millis } from "../units.js";

/**
 * One step of a peak-hold: a new maximum is taken at once, kept for PEAK_HOLD_MS, then decays
 * towards the present value with the time constant PEAK_DECAY_TAU_MS. The exponential is its first
 * Padé approximant, dt / (tau + dt/2), in whole numbers: Math.exp may differ between engines, and
 * two engines must agree byte for byte. At least one unit is lost a step, so it always arrives.
 */
export function peakHold(held: number, value: number, heldSince: Millis, elapsed: Millis, now: Millis): number {
  if (value >= held) return value;
  if (now - heldSince <= PEAK_HOLD_MS || elapsed <= 0) return held;
  const above = held - value;
  const lost = Math.floor((2 * above * elapsed) / (2 * PEAK_DECAY_TAU_MS + elapsed));
  return lost >= above ? value : held - Math.max(1, lost);
}
