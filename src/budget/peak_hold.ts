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
  /** For each quantity the highest of all buckets but the newest: it stands until that one is full. */
  readonly older: readonly number[];
  readonly cursor: number;
  readonly bucketSince: Millis;
  readonly at: Millis;
}

export function peakStart(values: readonly number[], now: Millis): PeakHold {
  const buckets: number[] = [];
  for (let index = 0; index < values.length; index++) for (let part = 0; part < PEAK_BUCKETS; part++) buckets.push(values[index]!);
  return { held: values, buckets, older: values, cursor: 0, bucketSince: now, at: now };
}

export function peakHold(state: PeakHold, values: readonly number[], now: Millis): PeakHold {
  const elapsed = now - state.at;
  const { buckets, older, cursor, bucketSince } = now - state.bucketSince < PEAK_BUCKET_MS ? state : turned(state, values, now);
  let raised: number[] | null = null;
  const held = state.held.slice();
  for (let index = 0; index < values.length; index++) {
    const value = values[index]!;
    const place = index * PEAK_BUCKETS + cursor;
    let highest = buckets[place]!;
    if (value > highest) {
      raised ??= buckets.slice();
      raised[place] = highest = value;
    }
    if (older[index]! > highest) highest = older[index]!;
    const before = held[index]!;
    if (before > highest) {
      const decayed = decay(before, value, elapsed);
      if (decayed > highest) highest = decayed;
    }
    if (before !== highest) held[index] = highest;
  }
  return { held, buckets: raised ?? buckets, older, cursor, bucketSince, at: now };
}

/** The newest bucket is full: the next ones begin with the present value. */
function turned(state: PeakHold, values: readonly number[], now: Millis): Pick<PeakHold, "buckets" | "older" | "cursor" | "bucketSince"> {
  const spans = Math.min(PEAK_BUCKETS, Math.floor((now - state.bucketSince) / PEAK_BUCKET_MS));
  const buckets = state.buckets.slice();
  const cursor = (state.cursor + spans) % PEAK_BUCKETS;
  const older: number[] = [];
  for (let index = 0; index < values.length; index++) {
    const base = index * PEAK_BUCKETS;
    for (let span = 1; span <= spans; span++) buckets[base + ((state.cursor + span) % PEAK_BUCKETS)] = values[index]!;
    let highest = values[index]!;
    for (let part = 0; part < PEAK_BUCKETS; part++) if (part !== cursor && buckets[base + part]! > highest) highest = buckets[base + part]!;
    older.push(highest);
  }
  return { buckets, older, cursor, bucketSince: now - ((now - state.bucketSince) % PEAK_BUCKET_MS) };
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
