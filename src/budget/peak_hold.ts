import { PEAK_BUCKETS, PEAK_BUCKET_MS, PEAK_DECAY_TAU_MS } from "../constants.js";
import type { Millis } from "../units.js";

/**
 * Peaks of several quantities: the highest of the last PEAK_HOLD_MS counts, and what was higher
 * before that decays towards the present with the time constant PEAK_DECAY_TAU_MS. A window and not
 * a mere hold, because a hold that is falling forgets the second-highest peak of the last seconds.
 */
export interface PeakHold {
  readonly held: readonly number[];
  /** The maxima of the newest PEAK_BUCKETS spans of time, one after another, for each quantity. */
  readonly buckets: readonly number[];
  readonly cursor: number;
  readonly bucketSince: Millis;
  readonly at: Millis;
}

export function peakStart(values: readonly number[], now: Millis): PeakHold {
  const buckets: number[] = [];
  for (let index = 0; index < values.length; index++) for (let part = 0; part < PEAK_BUCKETS; part++) buckets.push(values[index]!);
  return { held: values, buckets, cursor: 0, bucketSince: now, at: now };
}

export function peakHold(state: PeakHold, values: readonly number[], now: Millis): PeakHold {
  const spans = Math.min(PEAK_BUCKETS, Math.floor((now - state.bucketSince) / PEAK_BUCKET_MS));
  const bucketSince = spans === 0 ? state.bucketSince : now - ((now - state.bucketSince) % PEAK_BUCKET_MS);
  const buckets = state.buckets.slice();
  const held: number[] = [];
  const cursor = (state.cursor + spans) % PEAK_BUCKETS;
  for (let index = 0; index < values.length; index++) {
    const value = values[index]!;
    const base = index * PEAK_BUCKETS;
    for (let span = 1; span <= spans; span++) buckets[base + ((state.cursor + span) % PEAK_BUCKETS)] = value;
    if (value > buckets[base + cursor]!) buckets[base + cursor] = value;
    let highest = value;
    for (let part = 0; part < PEAK_BUCKETS; part++) if (buckets[base + part]! > highest) highest = buckets[base + part]!;
    held.push(Math.max(highest, decay(state.held[index]!, value, now - state.at)));
  }
  return { held, buckets, cursor, bucketSince, at: now };
}

/**
 * The exponential is its first Padé approximant, dt / (tau + dt/2), in whole numbers: Math.exp may
 * differ between engines, and two must agree byte for byte. At least one unit a step, so it arrives.
 */
function decay(held: number, value: number, elapsed: Millis): number {
  if (held <= value || elapsed <= 0) return held;
  const above = held - value;
  const lost = Math.floor((2 * above * elapsed) / (2 * PEAK_DECAY_TAU_MS + elapsed));
  return lost >= above ? value : held - Math.max(1, lost);
}
