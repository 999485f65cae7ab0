/**
 * A platform whose time runs faster than the host's, for tests that cannot wait for a release of half
 * an hour. Two processes with the same `Pace` agree on the time of day, also after one was restarted.
 */
import type { Platform } from "./ecma419.js";

export interface Pace {
  readonly pace: number;
  /** Seconds since 1970, with fractions: at `real` of the host it was `house` in the house. */
  readonly real: number;
  readonly house: number;
}

export const houseTime = (pace: Pace, real: number): number => pace.house + (real - pace.real) * pace.pace;

export function paced(platform: Platform, pace: Pace, real: () => number): Platform {
  const { timer } = platform;
  return {
    ...platform,
    monotonic: () => Math.floor(platform.monotonic() * pace.pace),
    networkTime: () => Math.floor(houseTime(pace, real())),
    timer: {
      set: (callback, delayMs) => timer.set(callback, delayMs / pace.pace),
      repeat: (callback, periodMs) => timer.repeat(callback, periodMs / pace.pace),
      clear: (id) => timer.clear(id),
    },
  };
}
